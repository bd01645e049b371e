/** HTTP headers of every page here: nothing inline, nothing from elsewhere, in no frame, in no cache. */
export const pageHeaders = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (char) => escapes[char] ?? char);

const mark =
  '<div class="mark"><svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="8" cy="8" r="4"/><path d="M2 20c0-4 3-6 6-6"/><path d="M13 17h8m-3-3 3 3-3 3"/></svg>Onbehalf</div>';

const page = (title: string, body: string, script?: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)}</title>
<link rel="stylesheet" href="/login/assets/login.css">
${script === undefined ? '' : `<script src="/login/assets/${script}" defer></script>`}
</head>
<body>
<main>
${mark}
${body}
</main>
</body>
</html>
`;

const error = '<p class="error" id="error" role="alert" hidden></p>';

/** `hint`: the user name that the request suggests. */
export const signInPage = (client: string, hint: string): string =>
  page(
    'Sign in to Onbehalf',
    `<h1>Sign in to Onbehalf</h1>
<p>to continue to <strong>${escapeHtml(client)}</strong></p>
<noscript><p class="error">This page needs JavaScript.</p></noscript>
<form id="sign-in">
<label for="username">User name</label>
<input id="username" name="username" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus value="${escapeHtml(hint)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
${error}
<button type="submit">Sign in</button>
</form>`,
    'sign-in.js',
  );

/** Where people of several issuers sign in. `link` is where each goes on. */
export const choicePage = (issuers: readonly { label: string; detail: string; link: string }[]): string =>
  page(
    'Sign in to Onbehalf',
    `<h1>Sign in to Onbehalf</h1>
<p>Where is your account?</p>
${issuers
  .map(
    ({ label, detail, link }) =>
      `<a class="choice" href="${escapeHtml(link)}" rel="noreferrer"><strong>${escapeHtml(label)}</strong><span>${escapeHtml(detail)}</span></a>`,
  )
  .join('\n')}`,
  );

/** The token is in the fragment, which no server sees: the page asks what it stands for. */
export const linkPage = (): string =>
  page(
    'Sign in to Onbehalf',
    `<h1>Sign in to Onbehalf</h1>
<noscript><p class="error">This page needs JavaScript.</p></noscript>
<p id="waiting">Looking at your link…</p>
<div id="ready" hidden>
<p>This link signs you in as <strong id="account"></strong>. It works once.</p>
<button id="continue" type="button">Continue</button>
</div>
${error}`,
    'link.js',
  );

/** `form` is oidc-provider's, with its secret against forgery. */
export const logoutPage = (form: string): string =>
  page(
    'Sign out of Onbehalf',
    `<h1>Sign out of Onbehalf?</h1>
<p>This ends your sign-in in this browser.</p>
${form}
<button type="submit" form="op.logoutForm" name="logout" value="yes" autofocus>Sign out</button>
<button type="submit" form="op.logoutForm" class="plain">Stay signed in</button>`,
  );

export const signedOutPage = (): string =>
  page(
    'Signed out of Onbehalf',
    '<h1>You are signed out</h1>\n<p>You can close this window.</p>\n<a class="button" href="/ui/">Sign in again</a>',
  );

export const errorPage = (reason: string): string =>
  page(
    'Sign-in failed',
    `<h1>That did not work</h1>\n<p>${escapeHtml(reason)}</p>\n<a class="button" href="/ui/">Start again</a>`,
  );
