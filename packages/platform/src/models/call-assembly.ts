import type { ModelToolCall } from './messages.ts';
import type { CallPart } from './provider-answer.ts';

/**
 * Puts tool calls together from their parts. A new id begins a new call, also under an index that is in use; what has
 * neither id nor index goes on with the last one. A name is said, not appended to.
 */
export class CallAssembly {
  readonly #calls: { index: number | undefined; id: string | undefined; name: string; arguments: string }[] = [];

  add({ index, id, name, arguments: more }: CallPart): void {
    const last = this.#calls.at(-1);
    const known =
      id !== undefined
        ? this.#calls.find((call) => call.id === id)
        : index !== undefined
          ? this.#calls.findLast((call) => call.index === index)
          : last;
    // A part without an id that names another tool is another call.
    const other =
      known !== undefined && id === undefined && name !== undefined && known.name !== '' && known.name !== name;
    const call = known === undefined || other ? { index, id, name: '', arguments: '' } : known;
    if (call !== known) this.#calls.push(call);
    if (name !== undefined) call.name = name;
    call.arguments += more ?? '';
  }

  whole(): ModelToolCall[] {
    return this.#calls.map(({ id, name, arguments: values }, position) => ({
      callId: id ?? `call_${position}`,
      name,
      arguments: values,
    }));
  }
}
