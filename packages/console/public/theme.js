// Before the first paint, and a file of its own, because the page allows no inline script.
try {
  const theme = localStorage.getItem('onbehalf.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's choice stands.
}
