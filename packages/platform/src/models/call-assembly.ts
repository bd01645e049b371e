import type { ModelToolCall } from './messages.ts';
import type { CallPart, Carried } from './provider-answer.ts';

/**
 * Puts tool calls together from their parts. A new id begins a new call, also under an index that is in use; what has
 * neither id nor index goes on with the last one. A name is said, not appended to.
 */
export class CallAssembly {
  readonly #calls: {
    index: number | undefined;
    id: string | undefined;
    name: string;
    arguments: string;
    carried: Carried;
  }[] = [];

  add({ index, id, name, arguments: more, carried = {} }: CallPart): void {
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
    const call = known === undefined || other ? { index, id, name: '', arguments: '', carried } : known;
    if (call !== known) this.#calls.push(call);
    if (name !== undefined) call.name = name;
    call.arguments += more ?? '';
    call.carried = { ...call.carried, ...carried };
  }

  whole(): ModelToolCall[] {
    return this.#calls.map(({ id, name, arguments: values, carried }, position) => ({
      callId: id ?? `call_${position}`,
      name,
      arguments: values,
      ...(Object.keys(carried).length > 0 && { carried }),
    }));
  }
}
