export * from './events.js';
export * from './types.js';
export { connect } from './client.js';
