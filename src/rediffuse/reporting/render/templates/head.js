// Before anything is drawn, so that nothing flashes: the theme that was chosen here last.
document.documentElement.classList.add("scripted");
try {
  var chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch (error) {} // a page from a file may be kept no settings
