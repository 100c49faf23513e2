/** Starts the page's program, and says so in a sentence where that is impossible. */

import("./app")
  .then(({ App }) => new App().open())
  .catch((error: unknown) => {
    const place = document.getElementById("startup") ?? document.getElementById("detail");
    if (place === null) throw error;
    place.classList.remove("late");
    place.hidden = false;
    place.textContent = `This page's program could not be started. Load the page again; if that does not help, update this browser or use another one. (${String(error)})`;
  });
