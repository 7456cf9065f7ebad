// The one place where this page asks the server for something: with the key, if there is one.

const NAME = "sagebird-key";
const dialog = document.getElementById("key");
const kept = () => sessionStorage.getItem(NAME);

const headers = (more) => (kept() ? { ...more, "X-Api-Key": kept() } : { ...more });

export const hasKey = () => Boolean(kept());

export async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: headers(options.headers) });
  if (answer.status === 401 || (answer.status === 403 && !kept())) askForKey(); // else its caller says what it may not
  return answer;
}

const wantsKey = (status) => status === 401 || status === 403;

function askForKey() {
  if (kept()) document.getElementById("key-why").textContent = "The key that this tab has is not, or no longer, accepted.";
  if (!dialog.open) dialog.showModal();
}

export function whenKeyed(then) {
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(NAME, event.target.elements.key.value.trim());
    event.target.reset();
    dialog.close();
    then();
  });
}

document.body.addEventListener("htmx:configRequest", (event) => Object.assign(event.detail.headers, headers()));
document.body.addEventListener("htmx:responseError", (event) => {
  if (wantsKey(event.detail.xhr.status)) askForKey();
});
