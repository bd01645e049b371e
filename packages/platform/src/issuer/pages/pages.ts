const policy = (formAction: string) =>
  `default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action ${formAction}; base-uri 'none'; frame-ancestors 'none'`;

/** HTTP headers of every page here: nothing inline, nothing from elsewhere, in no frame, in no cache. */
export const pageHeaders = {
  'content-security-policy': policy("'self'"),
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

/**
 * Of the page that confirms a sign-in: browsers hold the redirects that follow a form against `form-action` too, and
 * send `Origin: null` with a form where no referrer may be sent.
 */
export const confirmHeaders = (redirectUri: string) => ({
  ...pageHeaders,
  'content-security-policy': policy(`'self' ${new URL(redirectUri).origin}`),
  'referrer-policy': 'same-origin',
});

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

/** What the page names before a code goes to a program that listens on this machine. */
export interface Confirmation {
  /** The person, and where the account is. */
  account: string;
  detail: string;
  /** `signInCode` of the request. */
  code: string;
  redirectUri: string;
  /** Where the form goes, and what it carries. */
  action: string;
  fields: Readonly<Record<string, string>>;
}

/** No button has the focus: a key that was meant for another window confirms nothing. */
export const confirmPage = ({ account, detail, code, redirectUri, action, fields }: Confirmation): string =>
  page(
    'Sign in on the command line',
    `<h1>Sign in on the command line?</h1>
<p>The command line <strong>onbehalf</strong> of this computer, which waits at ${escapeHtml(new URL(redirectUri).host)}, asks to act as</p>
<p class="account"><strong>${escapeHtml(account)}</strong><span>${escapeHtml(detail)}</span></p>
<p>Your terminal must show these six characters:</p>
<p class="code">${escapeHtml(code)}</p>
<p>If it shows others, or you did not run <strong>onbehalf login</strong>, say no: another program asks.</p>
<form method="post" action="${escapeHtml(action)}">
${Object.entries(fields)
  .map(([name, value]) => `<input type="hidden" name="${escapeHtml(name)}" value="${escapeHtml(value)}">`)
  .join('\n')}
<button type="submit" name="decision" value="yes">They are the same: sign in</button>
<button type="submit" name="decision" value="no" class="plain">No</button>
</form>`,
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
