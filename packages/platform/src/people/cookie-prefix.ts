/** Cookies are named by installation, so that two on one host do not share them. */
export const cookiePrefixOf = (installation: string): string =>
  `onbehalf_${installation.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 12)}`;
