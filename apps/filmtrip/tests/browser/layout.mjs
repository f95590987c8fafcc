// What can be measured of a page's looks: nothing runs out of the window, nothing is cut off, nothing lies over another.

/** What is wrong with the layout of the page as it is now. */
export function layout(page) {
  return page.evaluate(() => {
    const wrong = [];
    const root = document.querySelector("dialog[open]") ?? document.body;
    const over = document.scrollingElement.scrollWidth - innerWidth;
    if (over > 0) wrong.push(`the page is ${over} px wider than the window`);
    const called = (e) => `${e.localName}.${e.className?.baseVal ?? e.className}`;
    const seen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true });
    /** The part of a box that its surroundings let through. */
    const clip = (box, element, cut) => {
      let { left, top, right, bottom } = box;
      for (let e = element; e && e !== document.documentElement; e = e.parentElement) {
        const { overflowX, overflowY } = getComputedStyle(e);
        const around = e.getBoundingClientRect();
        if (cut(overflowX)) [left, right] = [Math.max(left, around.left), Math.min(right, around.right)];
        if (cut(overflowY)) [top, bottom] = [Math.max(top, around.top), Math.min(bottom, around.bottom)];
        // What a box scrolls can be brought into sight, whatever is around the box.
        if (!cut("auto") && /auto|scroll/.test(overflowX + overflowY)) break;
      }
      return { left, top, right, bottom };
    };
    const both = (a, b) => [
      Math.min(a.right, b.right) - Math.max(a.left, b.left),
      Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top),
    ];
    const any = (overflow) => overflow !== "visible";

    // Controls. The box on a photo lies on it, and the marks of a map where the places are.
    const boxes = [...root.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")]
      .filter((e) => seen(e) && !e.closest("svg, .pick, .skip"))
      .flatMap((e) => [...e.getClientRects()].map((box) => ({ e, box: clip(box, e.parentElement, any) })));
    for (const [i, a] of boxes.entries()) {
      for (const b of boxes.slice(i + 1)) {
        const [x, y] = both(a.box, b.box);
        if (x > 2 && y > 2 && !a.e.contains(b.e) && !b.e.contains(a.e)) wrong.push(`${called(a.e)} and ${called(b.e)} overlap`);
      }
    }

    const hidden = (overflow) => overflow === "hidden" || overflow === "clip";
    /** How far a box reaches into what its surroundings hide. */
    const lost = (box, shown) => Math.max(box.right - shown.right, shown.left - box.left, box.bottom - shown.bottom, shown.top - box.top);
    for (const { e } of boxes.filter(({ e }) => e.localName !== "a")) {
      const box = e.getBoundingClientRect();
      // Chinese may break anywhere, and a button of one sign a line can be read by nobody.
      const words = document.createRange();
      words.selectNodeContents(e);
      const lines = [...words.getClientRects()];
      if (e.localName === "button" && lines.length > 1 && lines.every((line) => line.width < 32)) wrong.push(`“${e.textContent}” is broken up`);
      if (lost(box, clip(box, e.parentElement, hidden)) > 3) wrong.push(`${called(e)} “${e.textContent.trim()}” is cut off`);
    }

    // Text.
    const written = [];
    const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      const e = node.parentElement;
      const text = node.data.trim();
      if (!text || !seen(e) || e.closest("style, script, option, textarea, .sr, .skip")) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      const short = getComputedStyle(e).textOverflow === "ellipsis";
      for (const box of range.getClientRects()) {
        const shown = clip(box, e, hidden);
        if (!short && box.width > 1 && lost(box, shown) > 3) wrong.push(`“${text}” is cut off in ${called(e)}`);
        const here = clip(box, e, any);
        if (here.right > here.left && here.bottom > here.top && !e.closest("svg")) written.push({ text, node, here });
      }
    }
    for (const [i, a] of written.entries()) {
      for (const b of written.slice(i + 1)) {
        const [x, y] = both(a.here, b.here);
        if (a.node !== b.node && x > 4 && y > 7) wrong.push(`“${a.text}” and “${b.text}” are written over each other`);
      }
    }

    // What a field says while it is empty.
    const pen = document.createElement("canvas").getContext("2d");
    for (const field of root.querySelectorAll("input[placeholder]")) {
      if (!seen(field)) continue;
      const style = getComputedStyle(field);
      pen.font = style.font;
      const room = field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
      const need = pen.measureText(field.placeholder).width;
      if (need > room + 2) wrong.push(`“${field.placeholder}” does not fit: ${Math.round(need)} px in ${Math.round(room)}`);
    }
    return [...new Set(wrong)];
  });
}
