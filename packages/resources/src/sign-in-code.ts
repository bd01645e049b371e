/** RFC 4648 section 5. */
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** Without letters and digits that look alike. */
const SHOWN = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789';

/**
 * Six characters, as `ABC-DEF`, of a PKCE challenge (RFC 7636 section 4.2): its first 30 bits. The terminal that asks for
 * a sign-in and the page that confirms it show the same ones, so that a person sees whether they belong together (RFC
 * 8252 section 8.6).
 */
export function signInCode(challenge: string): string {
  const bits = [...challenge.slice(0, 5)].reduce((sum, letter) => sum * 64 + BASE64URL.indexOf(letter), 0);
  const shown = [25, 20, 15, 10, 5, 0].map((shift) => SHOWN[(bits >>> shift) & 31]).join('');
  return `${shown.slice(0, 3)}-${shown.slice(3)}`;
}
