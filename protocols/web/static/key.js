// Asks the browser for a security key or passkey and sends what it answers with the form of the page.
const form = document.querySelector("form[data-ceremony]");
const field = document.getElementById("assertion");

function bytes(text) {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (c) => c.charCodeAt(0));
}

function text(buffer) {
  let plain = "";
  for (const b of new Uint8Array(buffer)) plain += String.fromCharCode(b);
  return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function prepared(options) {
  const o = options.publicKey || options;
  o.challenge = bytes(o.challenge);
  if (o.user) o.user.id = bytes(o.user.id);
  for (const list of [o.allowCredentials, o.excludeCredentials]) {
    for (const c of list || []) c.id = bytes(c.id);
  }
  return { publicKey: o };
}

function told(credential) {
  const r = credential.response;
  const response = { clientDataJSON: text(r.clientDataJSON) };
  if (r.attestationObject) {
    response.attestationObject = text(r.attestationObject);
    if (r.getTransports) response.transports = r.getTransports();
  } else {
    response.authenticatorData = text(r.authenticatorData);
    response.signature = text(r.signature);
    if (r.userHandle) response.userHandle = text(r.userHandle);
  }
  return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, clientExtensionResults: {}, response });
}

let busy = false;

async function ceremony() {
  if (busy) return;
  busy = true;
  try {
    const options = prepared(JSON.parse(form.dataset.options));
    const credential = form.dataset.ceremony === "create" ? await navigator.credentials.create(options) : await navigator.credentials.get(options);
    field.value = told(credential);
  } catch {
    field.value = ""; // the server says what to do
  }
  busy = false;
  HTMLFormElement.prototype.submit.call(form); // form.submit is the button of that id
}

if (form && field) {
  form.addEventListener("submit", (event) => {
    const by = event.submitter;
    if (by && by.id !== "submit") return; // another factor, or away from here
    event.preventDefault();
    ceremony();
  });
}
