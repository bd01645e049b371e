import { misconfigured } from '../errors.ts';
import type { ProfileName } from '../types.ts';
import { onbehalf } from './onbehalf.ts';
import type { Profile } from './profile.ts';
import { rfc8693 } from './rfc8693.ts';

const profiles: Partial<Record<ProfileName, Profile>> = { rfc8693, onbehalf };

/** Chosen by name; nothing is guessed from what a server looks like. */
export function profileOf(name: ProfileName): Profile {
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (profile === undefined) throw misconfigured(`the profile ${JSON.stringify(name)} is not known`);
  return profile;
}
