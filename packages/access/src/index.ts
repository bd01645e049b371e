/**
 * Who is calling, and may they: token → Principal → Decision. `createVerifier` turns a JWT into a `Principal`,
 * `findCredential` finds the one credential of a request, `decide` answers over an immutable policy table.
 *
 * It uses jose, Node's crypto and `@onbehalf/secret-value`. It never stores anything, never sends a token anywhere,
 * reads no environment, and its only request is for an issuer's keys, through the `fetch` that it is given.
 */
export { ACTIONS, type Action, type Rule } from './actions.ts';
export { type CredentialRequest, type FoundCredential, findCredential } from './credential.ts';
export { type Decision, type DecisionContext, type DecisionResource, decide, visible } from './decide.ts';
export { decideTool, type ToolCall } from './decide-tool.ts';
export { AccessError, type AccessErrorCode, type Challenge } from './errors.ts';
export { issuerNames, issuerProblems } from './issuers.ts';
export { legacyIssuer, secretProblem, verifiesWithLowercasedSecret } from './legacy.ts';
export type { LogoutToken } from './login-tokens.ts';
export { grantsFor } from './matching.ts';
export {
  compileTable,
  createPolicyTable,
  findResource,
  type Grantee,
  type PolicyGrant,
  type PolicyInput,
  type PolicyResource,
  type PolicySwitches,
  type PolicyTable,
  type Verb,
} from './policy.ts';
export { isPublishedSecret } from './published-secrets.ts';
export {
  type Credential,
  capRole,
  type Door,
  type IssuerConfig,
  isRole,
  type JsonWebKeySet,
  type KeySource,
  type LegacyHs256,
  type Principal,
  type PrincipalLookup,
  type PrincipalRecord,
  type Role,
  type SharedSecret,
} from './types.ts';
export {
  createVerifier,
  type IdTokenExpectation,
  type TokenOrigin,
  type Verifier,
  type VerifierOptions,
} from './verifier.ts';
