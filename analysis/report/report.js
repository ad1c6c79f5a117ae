// MLflow's artifact viewer shows this page as a blob, in a frame: then the UI is where the blob comes from.
const HOME = location.protocol === "blob:" ? new URL(location.href.slice("blob:".length)).origin : UI;
// Without it a page opens in MLflow's mode for agents.
const MODE = "workflowType=machine_learning";
document.getElementById("ui").textContent = HOME;

// A number's runs: their page, or MLflow's comparison of several.
function address(list) {
  const runs = list.split(" ").map((i) => RUNS[i]);
  const experiments = [...new Set(runs.map((run) => run[1]))];
  if (runs.length === 1) return `${HOME}/#/experiments/${experiments[0]}/runs/${runs[0][0]}?${MODE}`;
  const ids = encodeURIComponent(JSON.stringify(runs.map((run) => run[0])));
  return `${HOME}/#/compare-runs?${MODE}&runs=${ids}&experiments=${encodeURIComponent(JSON.stringify(experiments))}`;
}
for (const link of document.querySelectorAll("a.r")) {
  link.href = address(link.dataset.r);
  link.target = "_blank";
  link.rel = "noopener";
  link.title = link.dataset.r.split(" ").length + " runs";
}
for (const link of document.querySelectorAll("nav a")) {
  link.addEventListener("click", (event) => {
    event.preventDefault(); // a blob has no anchors
    document.querySelector(link.getAttribute("href")).scrollIntoView();
  });
}
// The viewer's frame may not open links: offer the address instead.
if (window.self !== window.top) {
  const bar = document.getElementById("linkbar");
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.r");
    if (!link) return;
    event.preventDefault();
    bar.hidden = false;
    bar.innerHTML = "This viewer does not open links. Copy the address of the runs:<br><input readonly>";
    const field = bar.querySelector("input");
    field.value = link.href;
    field.select();
  });
}
