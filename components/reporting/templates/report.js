"use strict";
// Without this script everything is shown and the filters stay hidden.
const form = document.getElementById("case-filters");
const cases = [...document.querySelectorAll("#case-list article.case")];
const more = document.querySelector("#case-list details.more");

// What a wide page shows at once is folded on a phone.
const wide = matchMedia("(min-width: 40rem)").matches;
for (const part of document.querySelectorAll("details.wide")) part.open = wide;

function apply() {
  const { benchmark, outcome, text, differs, reveal } = form.elements;
  const words = text.value.trim().toLowerCase();
  let shown = 0;
  for (const one of cases) {
    const { benchmark: its, outcomes, differs: parted } = one.dataset;
    const fits = (!benchmark.value || its === benchmark.value)
      && (!outcome.value || outcomes.split(" ").includes(outcome.value))
      && (!differs.checked || parted === "yes")
      && (!words || one.textContent.toLowerCase().includes(words));
    one.hidden = !fits;
    shown += fits;
  }
  if (more && (benchmark.value || outcome.value || words || differs.checked)) more.open = true;
  document.body.classList.toggle("revealed", reveal.checked);
  form.querySelector("output").textContent = `${shown} of ${cases.length} shown`;
}

if (cases.length) {
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}
