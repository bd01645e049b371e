import { compileTable, createVerifier, decide, type Principal } from '@onbehalf/access';
import { SecretValue } from '@onbehalf/secret-value';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { cpuPer, cpuPerSync, type Line, micros } from './measure.ts';

const ISSUER = 'https://issuer.example';

/** 10,000 agents and as many grants; the token verified before, which is the ordinary case. */
export async function benchDecision(): Promise<Line[]> {
  const owner = { issuer: ISSUER, subject: 'root' };
  const table = compileTable({
    revision: 1,
    resources: Array.from({ length: 10_000 }, (_, index) => ({
      kind: 'Agent',
      namespace: 'default',
      name: `a${index}`,
      uid: `u${index}`,
      owner,
      enabled: true,
    })),
    grants: Array.from({ length: 10_000 }, (_, index) => ({
      uid: `g${index}`,
      to: { principal: { issuer: ISSUER, subject: `p${index}` } },
      on: { kind: 'Agent', uid: `u${index}` },
      verbs: ['run' as const],
    })),
  });
  const principal: Principal = {
    issuer: ISSUER,
    subject: 'p77',
    kind: 'person',
    role: 'REGULAR',
    groups: ['a', 'b'],
    groupsUnknown: false,
    delegated: false,
    credential: { kind: 'bearer' },
  };
  const now = Date.now();
  const plain = cpuPerSync(200_000, () => decide(table, principal, 'run', { kind: 'Agent', uid: 'u77' }, { now }));

  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const issuers = [
    {
      name: 'bench',
      issuer: ISSUER,
      keys: {
        kind: 'static' as const,
        jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'k', use: 'sig', alg: 'ES256' }] },
      },
      algorithms: ['ES256'],
      audiences: { api: ['api'] },
      subjectClaims: ['sub'],
      maxRole: 'REGULAR' as const,
    },
  ];
  const verifier = createVerifier({
    issuers: () => issuers,
    principals: { lookup: () => undefined, denied: () => false },
  });
  const token = await new SignJWT({ scope: 'x' })
    .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt' })
    .setIssuer(ISSUER)
    .setAudience('api')
    .setSubject('p77')
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(privateKey);
  const ask = async () => {
    const verified = await verifier.verify(SecretValue.of(token), 'api');
    return decide(table, verified, 'run', { kind: 'Agent', uid: 'u77' }, { now });
  };
  await cpuPer(20_000, ask);
  const both = await cpuPer(50_000, ask);
  verifier.close();
  return [
    {
      measure: 'decision, 10,000 agents, CPU',
      ours: micros(plain),
      reference: '–',
      ratio: undefined,
      target: '≤ 5 µs',
    },
    {
      measure: 'decision with a verified token looked up, CPU',
      ours: micros(both),
      reference: '–',
      ratio: undefined,
      target: '≤ 5 µs',
    },
  ];
}
