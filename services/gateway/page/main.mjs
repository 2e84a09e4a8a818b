/** The page, put together. */

import { Announcer } from './announcer.mjs';
import { App } from './app.mjs';
import { browser, Connection } from './connection.mjs';
import { Controls } from './controls.mjs';
import { ConversationView } from './conversation-view.mjs';
import { save, takeFiles } from './files.mjs';
import { Messages } from './messages.mjs';
import { Microphone } from './microphone.mjs';
import { Notices } from './notices.mjs';
import { Reader } from './reader.mjs';
import { longest } from './recording.mjs';
import { Speaker } from './speaker.mjs';
import { holdToTalk } from './talk-button.mjs';
import { asJson, asText } from './transcript.mjs';
import { Voice } from './voice.mjs';
import { Waveform } from './waveform.mjs';

const page = Object.fromEntries([...document.querySelectorAll('[id]')].map((element) => [element.id, element]));
const at = (path) => new URL(path, document.baseURI);

const controls = new Controls(page);
const announcer = new Announcer(page.announcements);
const notices = new Notices(page.notices);
const waveform = new Waveform(page.waveform);
const conversation = new ConversationView(page.conversation, page.turns, {
  onAgain: (id, tone) => app.answerAgain(id, tone),
  onRetry: (id) => app.sendAgain(id),
});

let activity = '';
const app = new App({
  show(state) {
    controls.show(state);
    conversation.show(state);
    announcer.show(state);
    if (!microphone.isOpen) waveform.clear();
    if (document.body.dataset.activity !== activity) waveform.draw(); // in another colour
    activity = document.body.dataset.activity;
  },
  tell: (message) => notices.tell(message),
});

let sounds = null;
const context = () => {
  sounds ??= new AudioContext({ latencyHint: 'interactive' });
  if (sounds.state === 'suspended') sounds.resume();
  return sounds;
};
const microphone = new Microphone(context, {
  onBlock(bytes, level) {
    app.onSound(bytes, level);
    waveform.push(level, app.state.listening || app.state.talking);
  },
  onLost: () => app.onMicrophoneLost(),
});
const utter = (text) => new SpeechSynthesisUtterance(text);
const onVoice = () => app.onVoice();
const reader = 'speechSynthesis' in window ? new Reader(speechSynthesis, utter, onVoice) : null;
const socket = at('v1/realtime');
socket.protocol = socket.protocol.replace('http', 'ws');
const connection = new Connection(socket, {
  onEvent: (event) => app.onEvent(event),
  onState: (name) => app.onState(name),
  outside: browser(at('healthz')),
});
let config = null;
app.use({
  connection,
  microphone,
  messages: new Messages((event) => connection.send(event)),
  voice: new Voice(new Speaker(context, onVoice), reader),
  maxSeconds: () => longest(config),
});

// ------------------------------------------------------------------------------------------------- what the user does
holdToTalk(page.talk, {
  press: () => app.press(),
  release: () => app.release(),
  isDown: () => app.state.talking,
});
for (const choice of [page.hold, page['hands-free']]) {
  choice.addEventListener('change', () => {
    controls.setHandsFree(page['hands-free'].checked);
    app.setHandsFree(page['hands-free'].checked);
  });
}
page.voice.addEventListener('change', () => {
  context(); // browsers let it sound only from a gesture on
  app.setVoice(page.voice.checked);
});
page.stop.addEventListener('click', () => app.stop());
document.addEventListener('keydown', (event) => event.key === 'Escape' && app.stop());
page.composer.addEventListener('submit', (event) => {
  event.preventDefault();
  if (app.type(page.message.value)) page.message.value = '';
});
takeFiles({
  button: page.attach,
  input: page.file,
  overlay: page.drop,
  onFile(file, others) {
    if (others > 0) notices.tell(`One recording at a time: “${file.name}” was taken.`);
    app.sendFile(file);
  },
});
const name = (extension) => `textpro-${new Date().toISOString().slice(0, 16).replace(/[T:]/g, '-')}.${extension}`;
page['save-text'].addEventListener('click', () => save(name('txt'), 'text/plain', asText(app.state)));
page['save-json'].addEventListener('click', () => save(name('json'), 'application/json', asJson(app.state)));
window.addEventListener('online', () => connection.wake());

controls.setHandsFree(page['hands-free'].checked);
connection.start();
fetch(at('v1/config'))
  .then((response) => response.json())
  .then((found) => (config = found), () => {}); // then the usual limits are believed
