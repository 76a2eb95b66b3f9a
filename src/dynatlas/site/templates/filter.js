"use strict";
const form = document.querySelector(".filter");
const table = document.querySelector(".claims");
const claims = [...table.tBodies];
function show() {
  const study = document.getElementById("study").value;
  const verdicts = new Set([...form.querySelectorAll("[name=verdict]:checked")].map((box) => box.value));
  for (const claim of claims) {
    claim.hidden = (study !== "" && claim.dataset.study !== study) || !verdicts.has(claim.dataset.verdict);
  }
  table.classList.toggle("parts-off", !document.getElementById("parts").checked);
  const seen = claims.filter((claim) => !claim.hidden).length;
  document.getElementById("shown").textContent = `${seen} of ${claims.length} claims`;
}
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
show();
