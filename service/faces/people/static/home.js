// The buttons that copy commands. Where the clipboard is not allowed (a page over http from another machine), the
// command is selected instead, ready for the keyboard.
for (const call of document.querySelectorAll(".call")) {
  const button = call.querySelector("button");
  const command = call.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(command);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
