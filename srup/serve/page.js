// The page of `srup serve`: pictures are dropped, looked at, enlarged by one or several networks, compared and saved.
(() => {
  const $ = (id) => document.getElementById(id);
  const FIRST = ["auto", "lite", "lite-photo", "imdn"]; // networks that are shown at once; the others are below "more"
  const FORMATS = ["png", "jpeg", "webp", "tiff", "avif", "jxl", "heic"];
  const SHOWN = /^image\/(png|jpeg|webp|avif|gif)$/; // what browsers show
  const UNITS = { scale: "How many times", width: "Pixels", height: "Pixels", "long-edge": "Pixels", size: "Width x height" };
  const USUAL = { scale: "4", width: "1920", height: "1080", "long-edge": "1920", size: "1920x1080" };
  const SOON = 150, LATER = 1000, PING = 60_000; // milliseconds between questions
  const pictures = []; // {id, name, card, list, results}
  const rows = []; // what the viewer shows, in the same order
  const viewer = compareViewer($("viewer"), rows);
  let shown = null;
  const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time));

  // --- Requests ---

  const fragment = new URLSearchParams(location.hash.slice(1)).get("token");
  if (fragment) history.replaceState(null, "", location.pathname);
  let token = fragment || sessionStorage.getItem("token") || "";
  let admitted; // what waits for a token goes on

  async function ask(method, path, options = {}) {
    for (;;) {
      const headers = token ? { Authorization: `Bearer ${token}` } : {};
      let answer;
      try {
        answer = await fetch(path, { method, headers, ...options });
      } catch (error) {
        throw error.name === "AbortError" ? error : new Error("the server does not answer; is it still running?");
      }
      if (answer.ok) return answer;
      const problem = await answer.json().catch(() => ({ detail: `HTTP ${answer.status}` }));
      if (answer.status === 429) {
        say(`${problem.detail}`);
        await sleep(1000 * Number(answer.headers.get("Retry-After") || 1));
      } else if (answer.status === 401) await askForToken(problem.detail);
      else throw new Error(problem.detail);
    }
  }

  function askForToken(why) {
    say(why, true);
    $("access").hidden = false;
    $("access").elements.token.focus();
    return (admitted ||= new Promise((resolve) => {
      $("access").onsubmit = (event) => {
        event.preventDefault();
        token = $("access").elements.token.value.trim();
        sessionStorage.setItem("token", token);
        $("access").hidden = true;
        admitted = null;
        say("");
        resolve();
      };
    }));
  }

  function say(text, bad = false) {
    $("status").textContent = text;
    $("status").classList.toggle("bad", bad);
  }

  // --- Settings ---

  async function fillSettings() {
    const found = await (await ask("GET", "/v1/models")).json();
    const chip = (model) => element(
      "label", { className: "chip", title: model.for },
      element("input", { type: "checkbox", name: "model", value: model.name, checked: model.name === found.default }),
      model.name, ...(FIRST.includes(model.name) ? [element("small", { textContent: model.for })] : []),
    );
    const first = (model) => FIRST.includes(model.name) || model.name === found.default;
    const others = element("div", {}, ...found.models.filter((model) => !first(model)).map(chip));
    const more = element("details", {}, element("summary", { textContent: "More networks" }), others);
    $("networks").replaceChildren(...found.models.filter(first).map(chip), more);
  }

  const settings = $("settings").elements;
  settings.format.append(...FORMATS.slice(1).map((name) => element("option", { value: name, textContent: name.toUpperCase() })));
  settings.by.addEventListener("change", () => {
    $("unit").textContent = UNITS[settings.by.value];
    settings.value.value = USUAL[settings.by.value];
  });

  function chosen() { // the options of a request for each network
    const names = [...$("networks").querySelectorAll("input:checked")].map((box) => box.value);
    return names.map((name) => {
      const options = new URLSearchParams({ model: name, [settings.by.value]: settings.value.value.trim() });
      if (settings.format.value) options.set("format", settings.format.value);
      if (settings.strip.checked) options.set("strip", "true");
      if (settings.strength.value && ["auto", "lite-photo"].includes(name)) options.set("strength", settings.strength.value);
      return [name, options];
    });
  }

  $("settings").addEventListener("submit", (event) => {
    event.preventDefault();
    const networks = chosen();
    if (!networks.length) return say("choose a network", true);
    say("");
    for (const picture of pictures) {
      if (picture.id) for (const [name, options] of networks) enlarge(picture, name, options);
    }
  });

  function tellButton() {
    const count = pictures.filter((picture) => picture.id).length;
    $("enlarge").disabled = !count;
    $("enlarge").textContent = count > 1 ? `Enlarge ${count} pictures` : "Enlarge";
  }

  // --- Pictures ---

  async function add(file) {
    const name = file.name || "picture";
    const picture = { name, results: new Map(), leaving: new AbortController() };
    picture.image = element("img", { alt: "" });
    picture.about = element("p", { className: "about", textContent: "sending…" });
    picture.list = element("ul");
    const title = element("button", { type: "button", className: "name", textContent: name, title: "Show", onclick: () => open(picture) });
    const close = element("button", { type: "button", textContent: "×", title: `Remove ${name}`, ariaLabel: `Remove ${name}`, onclick: () => remove(picture) });
    picture.card = element("article", { className: "picture" }, picture.image, element("div", {}, title, picture.about), close, picture.list);
    pictures.push(picture);
    rows.push({ name, pictures: [] });
    $("pictures").append(picture.card);
    try {
      const path = `/page/pictures?${new URLSearchParams({ name })}`;
      const found = await (await ask("POST", path, { body: file, signal: picture.leaving.signal })).json();
      await introduce(picture, found, file);
    } catch (error) {
      picture.about.textContent = error.message;
      picture.card.classList.add("bad");
    }
    tellButton();
  }

  async function introduce(picture, found, file) {
    if (!pictures.includes(picture)) return;
    if (found.problem) throw new Error(found.problem.detail);
    picture.id = found.id;
    const pages = found.pages > 1 ? `, ${found.pages} pages` : "";
    picture.about.textContent = `${found.width}×${found.height}${pages} · ${found.found}: ${found.network}`;
    const data = SHOWN.test(file.type) ? file : await (await ask("GET", `/page/pictures/${found.id}/view`)).blob();
    picture.image.src = URL.createObjectURL(data);
    row(picture).pictures.push({ name: "before", line: "", width: found.width, height: found.height, src: picture.image.src });
    if (!shown) open(picture);
  }

  const row = (picture) => rows[pictures.indexOf(picture)];

  function open(picture) {
    if (!picture.id) return;
    shown = picture;
    for (const each of pictures) each.card.classList.toggle("shown", each === picture);
    $("compare").hidden = false;
    viewer.open(pictures.indexOf(picture));
  }

  function remove(picture) {
    picture.leaving.abort();
    for (const result of picture.results.values()) result.gone = true;
    if (picture.id) ask("DELETE", `/page/pictures/${picture.id}`).catch((error) => say(error.message, true));
    for (const each of row(picture)?.pictures || []) URL.revokeObjectURL(each.src);
    const index = pictures.indexOf(picture);
    pictures.splice(index, 1);
    rows.splice(index, 1);
    picture.card.remove();
    if (shown === picture) {
      shown = null;
      $("compare").hidden = true;
      const next = pictures.find((each) => each.id);
      if (next) open(next);
    }
    tellButton();
  }

  // --- Results ---

  async function enlarge(picture, network, options) {
    const result = { network, line: element("span"), bar: element("progress"), buttons: element("div", { className: "bar" }) };
    const cancel = element("button", { type: "button", textContent: "Cancel", onclick: () => forget(picture, result) });
    result.buttons.append(cancel);
    result.item = element("li", {}, result.line, result.bar, result.buttons);
    result.line.textContent = `${network}: waiting`;
    picture.list.append(result.item);
    picture.results.set(result, result);
    try {
      const made = await (await ask("POST", `/page/pictures/${picture.id}/results?${options}`)).json();
      result.id = made.id;
      if (result.gone) return await ask("DELETE", `/page/results/${result.id}`);
      await follow(picture, result);
    } catch (error) {
      if (!result.gone) fail(picture, result, error.message);
    }
  }

  async function follow(picture, result) {
    for (let pause = SOON; !result.gone; pause = Math.min(pause * 1.3, LATER)) {
      const state = await (await ask("GET", `/page/results/${result.id}`)).json();
      if (result.gone) return;
      if (state.state === "failed") return fail(picture, result, state.problem.detail);
      if (state.state === "done") return show(picture, result, state);
      const waits = state.state === "waiting" ? `waiting, ${state.position} before it` : state.stage;
      result.line.textContent = `${result.network}: ${waits}`;
      if (state.total) [result.bar.max, result.bar.value] = [state.total, state.done];
      else result.bar.removeAttribute("value");
      await sleep(pause);
    }
  }

  async function show(picture, result, state) {
    const path = `/page/results/${result.id}`;
    const view = await (await ask("GET", `${path}/${state.viewed ? "view" : "file"}`)).blob();
    if (result.gone) return;
    if (!state.viewed) result.file = view;
    result.shown = { name: state.networks, line: `${state.seconds.toFixed(1)} s`, width: state.width, height: state.height, src: URL.createObjectURL(view) };
    row(picture).pictures.push(result.shown);
    result.bar.remove();
    const told = [`${state.width}×${state.height}`, `${state.seconds.toFixed(1)} s`, size(state.bytes), ...state.warnings];
    result.line.textContent = `${state.networks}: ${told.join(" · ")}`;
    const save = element("button", { type: "button", textContent: "Save", title: state.name, onclick: () => keep(result, state, save) });
    const drop = element("button", { type: "button", textContent: "Drop", onclick: () => forget(picture, result) });
    result.buttons.replaceChildren(save, drop);
    if (shown === picture) viewer.refresh();
    else if (row(shown).pictures.length < 2) open(picture); // nothing to compare there yet
  }

  const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

  async function keep(result, state, button) {
    try {
      result.file ||= await (await ask("GET", `/page/results/${result.id}/file`)).blob();
    } catch (error) {
      return say(error.message, true);
    }
    const url = URL.createObjectURL(result.file);
    element("a", { href: url, download: state.name }).click();
    setTimeout(() => URL.revokeObjectURL(url), LATER);
    button.textContent = "Saved";
    if (!result.saved) ask("DELETE", `/page/results/${result.id}`).catch(() => {}); // the page has it now
    result.saved = true;
  }

  function fail(picture, result, why) {
    result.item.classList.add("bad");
    result.line.textContent = `${result.network}: ${why}`;
    result.bar.remove();
    result.buttons.replaceChildren(element("button", { type: "button", textContent: "Drop", onclick: () => forget(picture, result) }));
  }

  function forget(picture, result) {
    result.gone = true;
    result.item.remove();
    picture.results.delete(result);
    if (result.id && !result.saved) ask("DELETE", `/page/results/${result.id}`).catch(() => {});
    const list = row(picture).pictures;
    if (!result.shown) return;
    list.splice(list.indexOf(result.shown), 1);
    URL.revokeObjectURL(result.shown.src);
    if (shown === picture) open(picture);
  }

  // --- Where pictures come from ---

  const addAll = (files) => [...files].forEach(add);
  $("choose").addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", () => {
    addAll($("files").files);
    $("files").value = "";
  });
  for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      document.body.classList.toggle("over", over);
    });
  }
  document.addEventListener("drop", (event) => addAll(event.dataTransfer.files));
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) event.preventDefault();
    addAll(event.clipboardData.files);
  });
  addEventListener("pagehide", () => { // nobody could save them any more
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    for (const { id } of pictures) if (id) fetch(`/page/pictures/${id}`, { method: "DELETE", headers, keepalive: true });
  });
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  setInterval(() => pictures.forEach(({ id }) => id && ask("GET", `/page/pictures/${id}`).catch((error) => say(error.message, true))), PING);
  fillSettings().catch((error) => say(error.message, true));
})();
