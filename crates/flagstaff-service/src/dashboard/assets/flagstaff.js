// What the pages do better with script. Each of them works without.
(() => {
  "use strict";
  const root = document.documentElement;
  const find = (selector, from = document) => from.querySelector(selector);

  const say = (text) => {
    const toast = find("#said");
    if (!toast) return;
    toast.textContent = text;
    clearTimeout(say.timer);
    say.timer = setTimeout(() => { toast.textContent = ""; }, 6000);
  };

  // The server says in a header what it did: see `said` in dashboard/answer.rs.
  document.addEventListener("flagstaff-said", (event) => say(event.detail.value));

  const trouble = (text) => {
    const slot = find("#notice");
    if (!slot) return;
    const box = document.createElement("div");
    box.className = "notice bad";
    box.textContent = text;
    slot.replaceChildren(box);
    slot.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("htmx:sendError", () => {
    trouble("The service did not answer, so nothing is known to have changed. Check the connection, load the page again and retry.");
  });
  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    // Errors below 500 come with their own words, which are swapped in.
    if (status >= 500) trouble(`The service could not do this (${status}). Load the page again to see what stands, then retry.`);
  });

  // The confirm step: shown as a dialog once its words have arrived, gone once it is done.
  document.addEventListener("htmx:afterSwap", (event) => {
    const dialog = find("#dialog");
    if (event.detail.target === dialog && dialog.childElementCount > 0 && !dialog.open) dialog.showModal();
    keepTime();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const dialog = find("#dialog");
    if (!dialog || !dialog.open || event.detail.requestConfig.verb !== "post") return;
    dialog.close();
  });
  document.addEventListener("click", (event) => {
    const dialog = find("#dialog");
    if (dialog && dialog.open && (event.target === dialog || event.target.closest("[data-close]"))) {
      event.preventDefault();
      dialog.close();
    }
  });

  // A row that was swapped has a new switch: focus goes on where it was.
  let focused = null;
  document.addEventListener("htmx:beforeRequest", (event) => {
    const holder = event.detail.elt.closest("[id^='switch-']");
    if (holder) focused = holder.id;
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (!focused || find("#dialog")?.open) return;
    const control = document.getElementById(focused)?.querySelector("[role='switch']");
    if (control && (document.activeElement === document.body || !document.activeElement)) control.focus();
  });

  // Themes: at once here; the form tells the server, which remembers.
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "theme" || !event.submitter) return;
    root.dataset.theme = event.submitter.value;
    for (const button of event.target.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button === event.submitter));
    }
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      say(`Copied ${button.dataset.copied ?? button.dataset.copy}`);
    } catch {
      say("The browser does not allow copying here. Select the text and copy it by hand.");
    }
  });

  // Open menus close when the attention goes elsewhere.
  const closeMenus = (except) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (menu !== except) menu.open = false;
    }
  };
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
  document.addEventListener("focusin", (event) => closeMenus(event.target.closest("details.menu")));

  // Keys: `/` to search, `g f` flags, `g u` users, Escape closes.
  let went = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = find("details.menu[open]");
      closeMenus();
      menu?.querySelector("summary").focus();
    }
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || find("#dialog")?.open) return;
    if (event.key === "/") {
      const search = find("#search");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    } else if (event.key === "g") {
      went = event.timeStamp;
    } else if (event.timeStamp - went < 1500) {
      went = 0;
      find(`[data-go="${CSS.escape(event.key)}"]`)?.click();
    }
  });

  // Times: exact in the reader's own zone, and relative ones stay true while the page is open.
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  const ago = (seconds) => {
    if (seconds < 45) return "just now";
    if (seconds < 5400) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
    if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
    return null;
  };
  const keepTime = () => {
    for (const time of document.querySelectorAll("time[data-relative]")) {
      const instant = new Date(time.dateTime);
      const words = exact.format(instant);
      const spoken = find(".hidden", time);
      time.title = words;
      if (spoken) spoken.textContent = `, ${words}`;
      const relative = ago((Date.now() - instant.getTime()) / 1000);
      if (relative) time.firstChild.textContent = relative;
    }
  };
  keepTime();
  setInterval(keepTime, 30000);
})();
