var root = document.documentElement, nav = document.querySelector("nav"), menu = document.getElementById("menu");

// A link into something folded opens it first.
function reveal() {
  var target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (var node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", reveal);
reveal();

// Paper has no folds.
addEventListener("beforeprint", function () {
  document.querySelectorAll("details:not([open])").forEach(function (one) { one.open = true; one.dataset.shut = ""; });
});
addEventListener("afterprint", function () {
  document.querySelectorAll("[data-shut]").forEach(function (one) { one.open = false; delete one.dataset.shut; });
});

// Light or dark: the reader's setting until the button is pressed.
var button = document.getElementById("theme");
button.hidden = false;
button.onclick = function () {
  var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch (error) {}
};

// Mark in the side bar where one is: the last heading that has passed the upper third of the window.
var links = Array.from(nav.querySelectorAll("a")), waiting = false;
var places = links.map(function (link) { return document.getElementById(link.hash.slice(1)); });
function follow() {
  waiting = false;
  var here = 0;
  places.forEach(function (place, i) { if (place.getBoundingClientRect().top < innerHeight / 3) here = i; });
  nav.querySelectorAll(".here").forEach(function (item) { item.classList.remove("here"); });
  links.forEach(function (link, i) { if (i === here) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current"); });
  for (var item = links[here]; item !== nav; item = item.parentElement) if (item.tagName === "LI") item.classList.add("here");
  var list = nav.querySelector("ol"), box = links[here].getBoundingClientRect(), frame = list.getBoundingClientRect();
  if (box.top < frame.top || box.bottom > frame.bottom) list.scrollTop += box.top - frame.top - frame.height / 3;
}
addEventListener("scroll", function () { if (!waiting) { waiting = true; requestAnimationFrame(follow); } }, { passive: true });
nav.addEventListener("click", function (event) { if (event.target.tagName === "A") menu.checked = false; });
follow();
