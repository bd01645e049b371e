import { misconfigured } from '../errors.ts';
import { hint } from '../nearest.ts';
import type { ProfileName } from '../types.ts';
import { auth0 } from './auth0.ts';
import { dex } from './dex.ts';
import { entraObo } from './entra-obo.ts';
import { keycloak } from './keycloak.ts';
import { okta } from './okta.ts';
import { onbehalf } from './onbehalf.ts';
import type { Profile } from './profile.ts';
import { rfc8693 } from './rfc8693.ts';
import { zitadel } from './zitadel.ts';

const profiles: Readonly<Record<ProfileName, Profile>> = {
  rfc8693,
  onbehalf,
  keycloak,
  'entra-obo': entraObo,
  okta,
  auth0,
  zitadel,
  dex,
};

export const profileNames = Object.keys(profiles);

/** Chosen by name; nothing is guessed from what a server looks like. */
export function profileOf(name: ProfileName): Profile {
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (profile === undefined) {
    throw misconfigured(`the profile ${JSON.stringify(name)} is not known: ${hint(String(name), profileNames)}`);
  }
  return profile;
}
