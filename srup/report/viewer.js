"use strict";

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Compares versions of an image in the element `viewer`: a divider between two of them, or all side by side; zoom and pan are one
// state for all. Rows are {name, pictures: [{name, line, width, height, src}]}; the array may grow and shrink. `open(number)` shows one,
// `refresh()` shows pictures that were added to it, the last one on the right.
function compareViewer(viewer, rows) {
  const dialog = viewer.closest("dialog");
  const limit = (value, low, high) => Math.min(Math.max(value, low), high);

  let row, width, height, layers, left, right, side;
  let at = 50, zoom = 1, x = 0.5, y = 0.5; // the divider in percent; 1 fits; the picture's point in the middle, 0 to 1

  const stage = element("div", { className: "stage", tabIndex: 0, role: "slider" });
  stage.setAttribute("aria-valuemin", 0);
  stage.setAttribute("aria-valuemax", 100);
  const handle = element("i", { textContent: "⇔" });
  const divider = element("div", { className: "divider" }, handle);
  const choices = ["left", "right"].map((name) => element("select", { ariaLabel: `Picture on the ${name}` }));
  const percent = element("output", { ariaLabel: "Zoom" });
  const button = (text, label, act) => element("button", { type: "button", textContent: text, title: label, ariaLabel: label, onclick: act });
  const sideButton = button("Side by side", "All versions side by side (s)", () => show(!side));
  const name = element("b");
  const top = element(
    "div", { className: "bar" }, name, element("span", { className: "space" }),
    button("‹", "The image before (Page Up)", () => step(-1)), button("›", "The next image (Page Down)", () => step(1)),
    button("Close", "Close (Escape)", () => dialog.close()),
  );
  const bar = element(
    "div", { className: "bar" },
    ...choices, sideButton, element("span", { className: "space" }),
    button("−", "Smaller (-)", () => zoomBy(1 / 1.5)), percent, button("+", "Larger (+)", () => zoomBy(1.5)),
    button("Fit", "The whole picture (0)", fit), button("1:1", "A pixel to a pixel (1)", oneToOne),
  );
  const hint = element("p", {
    className: "hint",
    textContent: "Drag the handle or use ← →; wheel or pinch to zoom, then drag to move (Shift with arrows). ↑ ↓ change the right one.",
  });
  viewer.append(...(dialog ? [top] : []), stage, bar, hint);

  function open(number) {
    row = rows[number];
    measure();
    name.textContent = row.name;
    const reference = row.pictures.length > 2 && row.pictures[row.pictures.length - 1].name === "reference"; // begin with what was made
    [left, right, zoom, x, y] = [0, row.pictures.length - (reference ? 2 : 1), 1, 0.5, 0.5];
    if (dialog && !dialog.open) dialog.showModal();
    show(false);
    if (dialog) stage.focus({ preventScroll: true });
  }

  function measure() {
    width = Math.max(...row.pictures.map((picture) => picture.width));
    height = row.pictures.find((picture) => picture.width === width).height;
    viewer.style.setProperty("--shape", height / width);
    for (const select of choices) {
      select.replaceChildren(...row.pictures.map((picture, index) => element("option", { value: index, textContent: picture.name })));
      select.hidden = row.pictures.length < 3;
    }
  }

  function step(by) {
    open((rows.indexOf(row) + by + rows.length) % rows.length);
  }

  function show(sideBySide) {
    side = sideBySide;
    choices[0].value = left;
    choices[1].value = right;
    stage.classList.toggle("side", side);
    sideButton.setAttribute("aria-pressed", side);
    layers = (side ? row.pictures.map((_, index) => index) : [left, right]).map((index, place) => layer(row.pictures[index], place));
    stage.replaceChildren(...layers, divider);
    if (side) arrange();
    draw();
  }

  function layer(picture, place) {
    const image = element("img", { src: picture.src, alt: picture.name, decoding: "async", draggable: false });
    image.style.width = `${width}px`;
    image.style.height = `${height}px`;
    image.small = picture.width < width;
    const line = picture.line ? [element("small", { textContent: ` ${picture.line}` })] : [];
    const label = element("div", { className: "label" }, picture.name, ...line);
    return element("div", { className: place ? "layer after" : "layer" }, image, label);
  }

  function arrange() { // as many columns as leave the pictures largest
    const box = stage.getBoundingClientRect();
    const size = (columns) => Math.min(box.width / columns / width, box.height / Math.ceil(layers.length / columns) / height);
    const best = layers.map((_, index) => index + 1).reduce((one, other) => (size(other) > size(one) ? other : one));
    stage.style.gridTemplateColumns = `repeat(${best}, 1fr)`;
    stage.style.gridAutoRows = "1fr";
  }

  function view() {
    const one = layers[0];
    return { width: one.clientWidth, height: one.clientHeight, fit: Math.min(one.clientWidth / width, one.clientHeight / height) };
  }

  function draw() {
    const seen = view(), scale = seen.fit * zoom;
    const roomX = Math.min(seen.width / 2 / (width * scale), 0.5), roomY = Math.min(seen.height / 2 / (height * scale), 0.5);
    x = limit(x, roomX, 1 - roomX);
    y = limit(y, roomY, 1 - roomY);
    const place = `translate(${seen.width / 2 - x * width * scale}px, ${seen.height / 2 - y * height * scale}px) scale(${scale})`;
    for (const shown of layers) {
      const image = shown.firstChild;
      image.style.transform = place;
      image.classList.toggle("pixels", image.small || scale * devicePixelRatio >= 2);
    }
    stage.style.setProperty("--at", `${at}%`);
    stage.classList.toggle("zoomed", zoom > 1);
    stage.setAttribute("aria-valuenow", Math.round(at));
    stage.setAttribute("aria-label", side ? `${row.name}, side by side` : `Divider between ${row.pictures[left].name} and ${row.pictures[right].name}`);
    percent.textContent = `${Math.round(scale * devicePixelRatio * 100)} %`;
  }

  function zoomBy(factor, clientX, clientY) { // the point under the pointer stays there
    const seen = view(), before = seen.fit * zoom, most = Math.max(1, 16 / seen.fit);
    const wanted = limit(zoom * factor, 1, most), after = seen.fit * wanted;
    if (clientX !== undefined) {
      const [dx, dy] = fromMiddle(clientX, clientY, seen);
      x += (dx / before - dx / after) / width;
      y += (dy / before - dy / after) / height;
    }
    zoom = wanted;
    draw();
  }

  function fromMiddle(clientX, clientY, seen) {
    const over = layers.map((shown) => shown.getBoundingClientRect());
    const box = over.find((b) => clientX >= b.left && clientX <= b.right && clientY >= b.top && clientY <= b.bottom) || over[0];
    return [clientX - box.left - seen.width / 2, clientY - box.top - seen.height / 2];
  }

  function fit() { [zoom, x, y] = [1, 0.5, 0.5]; draw(); }
  function oneToOne() { zoom = Math.max(1, 1 / devicePixelRatio / view().fit); draw(); }
  function divide(percentage) { at = limit(percentage, 0, 100); draw(); }
  function pan(dx, dy) {
    const scale = view().fit * zoom;
    x -= dx / (width * scale);
    y -= dy / (height * scale);
    draw();
  }

  const pointers = new Map();
  let sliding = false;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (pointers.size === 1) sliding = !side && (zoom === 1 || event.target === handle);
    stage.classList.add("moving");
    if (sliding && event.target !== handle) slideTo(event.clientX);
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const spread = () => Math.hypot(...[0, 1].map((axis) => [...pointers.values()].reduce((sum, p, i) => sum + (i ? -1 : 1) * p[axis], 0)));
    const apart = pointers.size === 2 ? spread() : 0;
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (pointers.size === 2) {
      const [a, b] = [...pointers.values()];
      pan((event.clientX - before[0]) / 2, (event.clientY - before[1]) / 2);
      if (apart) zoomBy(spread() / apart, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
    } else if (sliding) slideTo(event.clientX);
    else pan(event.clientX - before[0], event.clientY - before[1]);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    stage.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      if (!pointers.size) stage.classList.remove("moving");
      else sliding = false;
    });
  }
  function slideTo(clientX) {
    const box = stage.getBoundingClientRect();
    divide(((clientX - box.left) / box.width) * 100);
  }
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event.clientX, event.clientY);
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => (zoom > 1 ? fit() : zoomBy(4, event.clientX, event.clientY)));

  function turn(by) {
    right = (right + by + row.pictures.length) % row.pictures.length;
    show(side);
  }
  const keys = {
    ArrowLeft: (event) => (event.shiftKey ? pan(40, 0) : divide(at - 2)),
    ArrowRight: (event) => (event.shiftKey ? pan(-40, 0) : divide(at + 2)),
    ArrowUp: (event) => (event.shiftKey ? pan(0, 40) : turn(-1)),
    ArrowDown: (event) => (event.shiftKey ? pan(0, -40) : turn(1)),
    Home: () => divide(0), End: () => divide(100), "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5),
    0: fit, 1: oneToOne, s: () => show(!side),
    ...(dialog ? { PageUp: () => step(-1), PageDown: () => step(1) } : {}),
  };
  viewer.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    event.preventDefault();
    act(event);
  });
  choices.forEach((select, place) => select.addEventListener("change", () => {
    if (place) right = Number(select.value);
    else left = Number(select.value);
    show(side);
  }));
  new ResizeObserver(() => row && (side && arrange(), draw())).observe(stage);
  function refresh() {
    right = row.pictures.length - 1;
    measure();
    show(side);
  }
  return { open, refresh };
}
