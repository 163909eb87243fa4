// A lab whose pictures were made beforehand: its controls choose one of them, and the line of words that goes with it.
for (const lab of document.querySelectorAll(".moving-lab")) {
    const {folder, words, states} = JSON.parse(lab.querySelector("script").textContent);
    const [form, image, line] = ["form", "img", "[role=status]"].map(part => lab.querySelector(part));
    const names = [...new Set([...form.elements].map(element => element.name).filter(name => name))];
    const chosen = () => names.map(name => Number(form.elements[name].value));
    const stateAt = at => states[at.reduce((sum, i, control) => sum * words[control].length + i, 0)];

    const prefetch = () => chosen().forEach((i, control, at) => {
        for (const next of [i - 1, i + 1].filter(next => next in words[control])) {
            new Image().src = folder + stateAt(at.with(control, next))[0];
        }
    });
    const show = () => {
        const at = chosen(), [file, text] = stateAt(at);
        image.src = folder + file;
        image.alt = line.textContent = text;
        names.forEach((name, control) => {
            const slider = form.elements[name], word = words[control][at[control]];
            if (slider.type !== "range") return;
            slider.setAttribute("aria-valuetext", word);
            slider.nextElementSibling.value = word;
        });
        prefetch();
    };
    form.addEventListener("input", show);
    form.addEventListener("focusin", prefetch);
    form.addEventListener("pointerenter", prefetch);
    form.addEventListener("submit", event => event.preventDefault()); // Enter on a control
    form.reset(); // a browser that comes back to a page may have kept the controls' values
    form.hidden = false;
}

// Read from a disk, a page may not open the others to quote from them: there the search names what it found, no more.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
