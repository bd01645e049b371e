import type { Principal } from '@onbehalf/access';
import type { PrincipalName } from './types.ts';

/** Who changes something when nobody is named: the local administration socket. */
export const localAdmin: PrincipalName = { issuer: 'local', subject: 'local-admin' };

/** The local administration socket is reached by whoever may open a file of mode 0600. */
export const LOCAL_ADMIN: Principal = {
  ...localAdmin,
  kind: 'local',
  name: 'local-admin',
  role: 'ADMIN',
  groups: [],
  groupsUnknown: false,
  delegated: false,
  credential: { kind: 'local' },
};
