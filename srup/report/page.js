// What belongs to a report: its pictures are in the page, and thumbnails open them.
(() => {
  const viewer = document.getElementById("viewer");
  if (!viewer) return;
  const { open } = compareViewer(viewer, JSON.parse(document.getElementById("rows").textContent));
  for (const thumbnail of document.querySelectorAll(".thumbnail")) {
    thumbnail.addEventListener("click", () => open(Number(thumbnail.dataset.row)));
  }
  if (!viewer.closest("dialog")) open(0);
})();
