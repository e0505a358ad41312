// Entry of a browser's module worker.
import { serve } from './serve.js';

const answer = serve((message) => self.postMessage(message));
self.addEventListener('message', (event) => answer(event.data));
