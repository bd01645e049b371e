import { SecretValue } from '@onbehalf/secret-value';
import { isAsymmetric } from './keys.ts';
import { secretProblem } from './legacy.ts';
import type { IssuerConfig } from './types.ts';

/** What is wrong with a configuration. An issuer with a problem is refused whole; the others serve. */
export function issuerProblems(issuer: IssuerConfig): string[] {
  const problems: string[] = [];
  const { legacyHs256: legacy } = issuer;
  for (const secret of [legacy?.secret, legacy?.previousSecret]) {
    // One that is read for each token is looked at then.
    const problem = secret instanceof SecretValue ? secretProblem(secret) : undefined;
    if (problem !== undefined) problems.push(problem);
  }
  if (legacy !== undefined && issuer.issuer === '') return problems;
  if (issuer.issuer === '' || issuer.issuer.startsWith('legacy:')) problems.push('the issuer has no name of its own');
  const odd = issuer.algorithms.filter((alg) => !isAsymmetric(alg));
  if (odd.length > 0) problems.push(`not asymmetric signature algorithms: ${odd.join(', ')}`);
  if (issuer.subjectClaims.length === 0) problems.push('no subject claim');
  if (issuer.issuer.includes('{tenantid}') && !issuer.tenants?.length) problems.push('a tenant issuer without tenants');
  const audiences = Object.values(issuer.audiences).flat();
  if (issuer.loginClientId !== undefined && isRelaxed(issuer) && audiences.includes(issuer.loginClientId)) {
    problems.push('the audience is the login client, whose ID tokens carry it too');
  }
  return problems;
}

/** Exact issuer names. A tenant issuer has one per tenant. */
export function issuerNames(issuer: Pick<IssuerConfig, 'issuer' | 'tenants'>): string[] {
  if (issuer.issuer === '') return [];
  if (!issuer.issuer.includes('{tenantid}')) return [issuer.issuer];
  return (issuer.tenants ?? []).map((tenant) => issuer.issuer.replace('{tenantid}', tenant));
}

/**
 * Finds the issuer of a token by its exact `iss`. Two configurations of one issuer would leave it to their order which
 * rules hold, so neither serves.
 */
export function indexIssuers(issuers: readonly IssuerConfig[]): ReadonlyMap<string, IssuerConfig | undefined> {
  const index = new Map<string, IssuerConfig | undefined>();
  for (const issuer of issuers) {
    for (const name of issuerNames(issuer)) index.set(name, index.has(name) ? undefined : issuer);
  }
  return index;
}

function isRelaxed(issuer: IssuerConfig): boolean {
  return (issuer.typ ?? ['at+jwt']).some((typ) => typ.toLowerCase().replace(/^application\//, '') !== 'at+jwt');
}
