/** The few files of the sign-in pages. They are separate, because the pages allow no inline style or script. */
const css = `:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #fff; --text: #16181d; --soft: #5b6472; --line: #d7dbe2; --accent: #2f5bea;
  --accent-text: #fff; --bad: #b3261e; --bad-page: #fdeceb;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101216; --card: #191c22; --text: #eceef2; --soft: #9aa3b2; --line: #313743; --accent: #7d9bff;
    --accent-text: #0d1020; --bad: #ffb4ab; --bad-page: #3a1f1d;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px;
  background: var(--page); color: var(--text); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
main {
  width: 100%; max-width: 400px; padding: 32px; background: var(--card); border: 1px solid var(--line);
  border-radius: 14px; box-shadow: 0 10px 40px rgb(0 0 0 / 8%);
}
.mark { display: flex; align-items: center; gap: 10px; margin-bottom: 24px; font-weight: 600; }
.mark svg { width: 28px; height: 28px; fill: none; stroke: var(--accent); stroke-width: 2.2; stroke-linecap: round; }
h1 { margin: 0 0 6px; font-size: 1.35rem; line-height: 1.3; }
p { margin: 0 0 20px; color: var(--soft); }
.account span { display: block; font-size: 0.85rem; overflow-wrap: anywhere; }
.code { font: 600 1.7rem/1.2 ui-monospace, monospace; letter-spacing: 0.12em; text-align: center; color: var(--text); }
p strong { color: var(--text); }
label { display: block; margin: 16px 0 6px; font-size: 0.9rem; font-weight: 550; }
input {
  width: 100%; padding: 10px 12px; font: inherit; color: inherit; background: var(--page);
  border: 1px solid var(--line); border-radius: 8px;
}
button, .button {
  display: block; width: 100%; margin-top: 24px; padding: 11px 16px; font: inherit; font-weight: 600; text-align: center;
  text-decoration: none; color: var(--accent-text); background: var(--accent); border: 1px solid transparent;
  border-radius: 8px; cursor: pointer;
}
button.plain { margin-top: 12px; color: var(--text); background: transparent; border-color: var(--line); }
button:disabled { opacity: 0.6; cursor: progress; }
.choice {
  display: flex; flex-direction: column; margin-top: 12px; padding: 12px 16px; color: var(--text); text-decoration: none;
  border: 1px solid var(--line); border-radius: 8px;
}
.choice span { color: var(--soft); font-size: 0.85rem; overflow-wrap: anywhere; }
.choice:hover { border-color: var(--accent); }
input:focus-visible, button:focus-visible, .button:focus-visible, .choice:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.error { margin: 16px 0 0; padding: 10px 12px; color: var(--bad); background: var(--bad-page); border-radius: 8px; }
[hidden] { display: none !important; }
`;

const post = `async function post(url, body) {
  const answer = await fetch(url, {
    method: 'POST', credentials: 'same-origin', headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail || 'The server did not answer as expected. Try again.');
  return said;
}
const show = (message) => {
  const place = document.getElementById('error');
  place.textContent = message;
  place.hidden = message === '';
};
`;

const signIn = `${post}
const form = document.getElementById('sign-in');
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = form.querySelector('button');
  button.disabled = true;
  show('');
  try {
    const { location: next } = await post(location.pathname, {
      username: form.username.value, password: form.password.value,
    });
    location.assign(next);
  } catch (error) {
    show(error.message);
    form.password.value = '';
    form.password.focus();
    button.disabled = false;
  }
});
`;

const link = `${post}
const token = location.hash.slice(1);
const returnTo = new URLSearchParams(location.search).get('returnTo');
// The token leaves the address bar at once: it must not stay in the history.
history.replaceState(null, '', location.pathname);
const button = document.getElementById('continue');
(async () => {
  try {
    const { name, subject } = await post('/login/link/describe', { token });
    document.getElementById('account').textContent = name ? name + ' (' + subject + ')' : subject;
    document.getElementById('ready').hidden = false;
    button.focus();
  } catch (error) {
    show(error.message);
  }
  document.getElementById('waiting').hidden = true;
})();
button.addEventListener('click', async () => {
  button.disabled = true;
  show('');
  try {
    const { location: next } = await post('/oidc/link', returnTo === null ? { token } : { token, returnTo });
    // Through the console's own sign-in, which now asks for nothing.
    location.assign('/login?issuer=onbehalf&returnTo=' + encodeURIComponent(next));
  } catch (error) {
    show(error.message);
    document.getElementById('ready').hidden = true;
  }
});
`;

export const assets: ReadonlyMap<string, { type: string; body: string }> = new Map([
  ['login.css', { type: 'text/css; charset=utf-8', body: css }],
  ['sign-in.js', { type: 'text/javascript; charset=utf-8', body: signIn }],
  ['link.js', { type: 'text/javascript; charset=utf-8', body: link }],
]);
