"use strict";
document.getElementById("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/login", {
    method: "POST", headers: { "X-Scanweave": "1" }, body: document.getElementById("token").value });
  if (answer.ok) location.reload();
  else document.getElementById("answer").textContent = "That is not it.";
});
