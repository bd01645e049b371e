import type { ResourceOf } from '@onbehalf/resources';
import { shellWord } from '../api/address.ts';
import { resourceYaml } from '../api/yaml.ts';
import { CodeBlock } from '../ui/code-block.tsx';
import { CommandLine } from '../ui/copy.tsx';

/** The agent as `onbehalf apply -f` takes it. Loaded when somebody looks: the YAML library is large. */
export function AgentYaml({ agent, address }: { agent: ResourceOf<'Agent'>; address: string }) {
  return (
    <div className="grid grid-cols-1 gap-4">
      <CommandLine command={`onbehalf get agent/${shellWord(address)} -o yaml`} />
      <CodeBlock label="YAML" text={resourceYaml(agent)} tall />
    </div>
  );
}
