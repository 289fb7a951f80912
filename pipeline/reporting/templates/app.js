"use strict";
// The pages work without this: it copies text, and says of an answer whether it was stored, also when the server is gone.
(() => {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const area = document.getElementById(button.dataset.copy), said = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(area.value);
        button.textContent = "Copied";
      } catch {
        area.select();
        button.textContent = "Selected: press Ctrl+C";
      }
      setTimeout(() => { button.textContent = said; }, 2500);
    });
  }
  for (const form of document.querySelectorAll("form.answer")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button"), told = form.querySelector("[role=status]") || document.createElement("span");
      told.setAttribute("role", "status");
      told.className = "small";
      form.append(told);
      button.disabled = true;
      told.textContent = "Storing …";
      try {
        // the same click again is stored once: trying again is safe
        const answer = await fetch("/api/v1/answers", {
          method: "POST", headers: { "Content-Type": "application/json" }, signal: AbortSignal.timeout(15000),
          body: JSON.stringify(Object.fromEntries(new FormData(form))) });
        const body = await answer.json();
        if (!answer.ok) throw new Error(body.detail);
        told.textContent = "✓ Stored";
      } catch (error) {
        button.disabled = false;
        told.textContent = "✗ Not stored" + (error instanceof TypeError || error.name === "TimeoutError" ? ": no answer from leadrev." : ": " + error.message) + " Please try again.";
      }
    });
  }
})();
