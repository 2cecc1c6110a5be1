// Sends the form of the page once a device has answered.
const form = document.querySelector("form[data-push]");
const status = document.getElementById("push-status");

async function poll() {
  const flow = form.elements.namedItem("flow").value;
  for (;;) {
    await new Promise((done) => setTimeout(done, 2000));
    let answer;
    try {
      const response = await fetch(form.dataset.push, { method: "POST", body: new URLSearchParams({ flow }), credentials: "same-origin" });
      answer = (await response.json()).push;
    } catch {
      continue; // the network may come back
    }
    if (answer === "waiting") continue;
    if (answer === "answered") form.requestSubmit(document.getElementById("submit"));
    return;
  }
}

if (form) {
  if (status) status.hidden = false;
  poll();
}
