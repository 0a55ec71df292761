// A push server as one would write it with Node's own http and the package ws: `node server.mjs PORT`.
import { createServer } from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';

const KEPT = 1024; // events of each channel that a poll may have missed
const channels = new Map();

function channelOf(url) {
    const name = url.searchParams.get('channel') ?? 'lobby';
    let channel = channels.get(name);
    if (!channel) {
        channel = { last: 0, kept: [], parked: new Set(), streams: new Set(), sockets: new Set() };
        channels.set(name, channel);
    }
    return channel;
}

function publish(channel, data) {
    const id = ++channel.last;
    channel.kept.push({ id, data });
    if (channel.kept.length > KEPT) channel.kept.shift();
    const answer = JSON.stringify({ cursor: String(id), events: [data] });
    // Whoever polls again while we are at it waits for the next one.
    const parked = channel.parked;
    channel.parked = new Set();
    for (const response of parked) sendJson(response, answer);
    for (const response of channel.streams) response.write(`id: ${id}\ndata: ${data}\n\n`);
    for (const socket of channel.sockets) {
        if (socket.readyState === WebSocket.OPEN) socket.send(data);
    }
    return id;
}

function sendJson(response, text, status = 200) {
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
    response.end(text);
}

function poll(url, response) {
    const channel = channelOf(url);
    const since = url.searchParams.has('since') ? Number(url.searchParams.get('since')) : channel.last;
    const missed = channel.kept.filter((event) => event.id > since);
    if (missed.length > 0) {
        const cursor = String(channel.last);
        sendJson(response, JSON.stringify({ cursor, events: missed.map((event) => event.data) }));
        return;
    }
    channel.parked.add(response);
    response.on('close', () => channel.parked.delete(response));
}

function connect(url, response) {
    const { streams } = channelOf(url);
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    response.flushHeaders();
    streams.add(response);
    response.on('close', () => streams.delete(response));
}

function receive(url, request, response) {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
        const id = publish(channelOf(url), Buffer.concat(pieces).toString());
        sendJson(response, JSON.stringify({ id: String(id) }), 201);
    });
}

const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    switch (`${request.method} ${url.pathname}`) {
        case 'GET /healthz':
            response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 3 });
            response.end('ok\n');
            break;
        case 'GET /poll':
            poll(url, response);
            break;
        case 'GET /connect':
            connect(url, response);
            break;
        case 'POST /event':
            receive(url, request, response);
            break;
        default:
            sendJson(response, '{"title":"not found"}', 404);
    }
});
server.keepAliveTimeout = 3_600_000;

const echo = new WebSocketServer({ noServer: true });
echo.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
const follow = new WebSocketServer({ noServer: true });
follow.on('connection', (socket, _request, url) => {
    const { sockets } = channelOf(url);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.terminate());
});
server.on('upgrade', (request, socket, head) => {
    const url = new URL(request.url, 'http://localhost');
    const to = url.pathname === '/echo' ? echo : follow;
    to.handleUpgrade(request, socket, head, (opened) => to.emit('connection', opened, request, url));
});
server.listen({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
