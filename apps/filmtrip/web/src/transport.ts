// Requests with progress, and what their answers mean.

import { verdict } from "./queue";

/** An answer; status 0 is none at all. */
export interface Answer {
  status: number;
  body: unknown;
}

/** A request that was not a success. */
export class Refusal extends Error {
  readonly kind: ReturnType<typeof verdict>;

  constructor(
    readonly status: number,
    readonly code: string,
  ) {
    super(code);
    this.kind = verdict(status, code);
  }
}

export interface Options {
  headers?: Record<string, string>;
  body?: FormData | string;
  progress?: (loaded: number, total: number) => void;
  signal?: AbortSignal;
}

/** Sends a request with XMLHttpRequest, which alone tells how much has been sent. */
export function send(method: string, url: string, options: Options = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.responseType = "text";
    for (const [name, value] of Object.entries(options.headers ?? {})) request.setRequestHeader(name, value);
    const { progress, signal } = options;
    if (progress) request.upload.onprogress = (event) => progress(event.loaded, event.total);
    const stop = (): void => request.abort();
    signal?.addEventListener("abort", stop, { once: true });
    request.onloadend = () => {
      signal?.removeEventListener("abort", stop);
      if (signal?.aborted) reject(new DOMException("cancelled", "AbortError"));
      else resolve({ status: request.status, body: parse(request.responseText) });
    };
    if (signal?.aborted) return reject(new DOMException("cancelled", "AbortError"));
    request.send(options.body ?? null);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The JSON of a success. Anything else is thrown as a [`Refusal`]. */
export async function ask<T>(method: string, url: string, options: Options = {}): Promise<T> {
  const answer = await send(method, url, options);
  if (answer.status >= 200 && answer.status < 300) return answer.body as T;
  throw refusal(answer);
}

/** What an answer refuses. */
export function refusal(answer: Answer): Refusal {
  const error = (answer.body as { error?: { code?: string } } | null)?.error;
  return new Refusal(answer.status, error?.code ?? "unavailable");
}
