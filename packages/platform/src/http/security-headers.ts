const SHARED = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/** No inline script or style, no other host, no frame. The API's answers are never kept. */
export function securityHeaders(publicUrl: string, kind: 'api' | 'console'): Record<string, string> {
  const secure = publicUrl.startsWith('https:');
  const socket = publicUrl.replace(/^http/, 'ws');
  return {
    ...SHARED,
    ...(secure && { 'strict-transport-security': 'max-age=31536000' }),
    'content-security-policy':
      kind === 'api'
        ? "default-src 'none'; frame-ancestors 'none'"
        : `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self' ${socket}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
    ...(kind === 'api' && { 'cache-control': 'no-store' }),
  };
}
