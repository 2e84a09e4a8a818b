/** A call with OpenAI's SDK as its documentation shows it. Everything it tells is kept. */

import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from './sdk/dist/bundle/openai-realtime-agents.mjs';

const RATE = 24000;

class Caller {
  /** Events of the server, in order. */
  events = [];
  /** Types of events that the SDK's schemas did not recognise, as often as they came. */
  unread = [];
  /** Words of answers, piece by piece. */
  deltas = [];
  /** Bytes of the answers' sound. */
  heard = 0;
  errors = [];
  #session;
  #context = new AudioContext({ sampleRate: RATE });
  #understood = new Set();

  /** turnDetection, modality: as the SDK writes them. */
  async call(url, turnDetection, modality, tools = []) {
    const transport = new OpenAIRealtimeWebSocket({ useInsecureApiKey: true });
    transport.on('*', (event) => this.#take(transport, event));
    transport.on('output_text_delta', ({ delta }) => this.deltas.push(delta));
    const agent = new RealtimeAgent({ name: 'assistant', instructions: 'You are a helpful assistant.', tools });
    const providerData = { temperature: 0 };
    const config = { outputModalities: [modality], audio: { input: { turnDetection } }, providerData };
    this.#session = new RealtimeSession(agent, { transport, model: 'textpro', config });
    this.#session.on('audio', ({ data }) => (this.heard += data.byteLength));
    this.#session.on('error', ({ error }) => this.errors.push(JSON.stringify(error)));
    await this.#session.connect({ apiKey: 'sk-none', url });
    await this.#context.audioWorklet.addModule('capture.mjs');
  }

  /** What the microphone hears from now on goes to the server. */
  async listen() {
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    await this.#context.resume();
    const capture = new AudioWorkletNode(this.#context, 'capture');
    capture.port.onmessage = ({ data }) => this.#session.sendAudio(data);
    this.#context.createMediaStreamSource(microphone).connect(capture);
  }

  type(text) {
    this.#session.sendMessage(text);
  }

  interrupt() {
    this.#session.interrupt();
  }

  hangUp() {
    this.#session.close();
  }

  count(type) {
    return this.events.filter((event) => event.type === type).length;
  }

  get history() {
    return this.#session.history;
  }

  #take(transport, event) {
    this.events.push(event);
    // The SDK emits an event under its own name, too, right after this, if it could read it.
    if (!this.#understood.has(event.type)) {
      this.#understood.add(event.type);
      transport.on(event.type, () => this.unread.splice(this.unread.lastIndexOf(event.type), 1));
    }
    this.unread.push(event.type);
  }
}

const weather = tool({
  name: 'weather',
  description: 'The weather in a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: true },
  strict: false,
  execute: ({ city }) => `sunny in ${city}`,
});

Object.assign(globalThis, { caller: new Caller(), weather });
