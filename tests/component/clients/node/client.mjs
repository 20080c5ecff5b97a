// What an application does with @kubernetes/client-node: `node client.mjs PART NAMESPACE` prints what it got, as JSON.
import * as k8s from '@kubernetes/client-node';
import { once } from 'node:events';
import net from 'node:net';
import { PassThrough, Writable } from 'node:stream';

const [part, namespace] = process.argv.slice(2);
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const seen = {};

async function until(condition) {
  for (let tries = 0; tries < 200 && !condition(); tries++) await new Promise((resolve) => setTimeout(resolve, 50));
}

async function failure(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return [error.code, JSON.parse(error.body).reason];
  }
}

function collected() {
  const parts = [];
  const stream = new Writable({ write(chunk, _, done) { parts.push(chunk); done(); } });
  stream.text = () => Buffer.concat(parts).toString();
  return stream;
}

function patch(name, body, type, more = {}) {
  return core.patchNamespacedConfigMap({ namespace, name, body, ...more }, k8s.setHeaderOptions('Content-Type', type));
}

async function objects() {
  const made = await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'cm', labels: { a: 'b' } }, data: { x: '1' } } });
  seen.created = [{ ...made.data }, made.metadata.creationTimestamp instanceof Date];
  made.data.y = '2';
  seen.replaced = (await core.replaceNamespacedConfigMap({ namespace, name: 'cm', body: made })).data;
  seen.conflict = await failure(core.replaceNamespacedConfigMap({ namespace, name: 'cm', body: made }));
  seen.missing = await failure(core.readNamespacedConfigMap({ namespace, name: 'nobody' }));
  seen.invalid = await failure(core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'A_b' } } }));
  seen.patched = [
    (await patch('cm', [{ op: 'replace', path: '/data/x', value: '3' }], k8s.PatchStrategy.JsonPatch)).data,
    (await patch('cm', { data: { y: null } }, k8s.PatchStrategy.MergePatch)).data,
    (await patch('cm', { data: { z: '4' } }, k8s.PatchStrategy.StrategicMergePatch)).data,
    (await patch('cm', { apiVersion: 'v1', kind: 'ConfigMap', data: { w: '5' } }, k8s.PatchStrategy.ServerSideApply, { fieldManager: 'js' })).data,
  ];
  seen.listed = (await core.listNamespacedConfigMap({ namespace, labelSelector: 'a=b', limit: 1 })).items.length;
  const any = k8s.KubernetesObjectApi.makeApiClient(config);
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
  const deployment = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd', namespace } };
  await any.create({ ...deployment, spec: { replicas: 0, selector: { matchLabels: { a: 'b' } }, template } });
  seen.any = [(await any.read(deployment)).spec.strategy.type, (await any.list('v1', 'ConfigMap', namespace)).items.length > 0];
  await any.delete(deployment);
}

async function watches() {
  const events = [];
  const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, () => core.listNamespacedConfigMap({ namespace }));
  for (const kind of ['add', 'update', 'delete', 'error']) informer.on(kind, (object) => events.push([kind, object.metadata?.name]));
  await informer.start();
  const made = await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'one' } } });
  await patch('one', { data: { x: '1' } }, k8s.PatchStrategy.MergePatch);
  await core.deleteNamespacedConfigMap({ namespace, name: 'one' });
  await until(() => events.some(([kind]) => kind === 'delete'));
  seen.informer = events.filter(([, name]) => name === 'one').map(([kind]) => kind);
  await informer.stop();
  const watch = (options) => new Promise((resolve) => {
    const types = [];
    new k8s.Watch(config).watch(`/api/v1/namespaces/${namespace}/configmaps`, options, (type, object) => types.push([type, object.code ?? object.metadata.name]), (error) => resolve([types, error ? error.statusCode ?? String(error) : null]));
  });
  seen.watch = await watch({ resourceVersion: made.metadata.resourceVersion, timeoutSeconds: 1 });
  seen.broken = await watch({ resourceVersion: 'nonsense', timeoutSeconds: 1 });
}

async function streams() {
  const [out, err, input] = [collected(), collected(), new PassThrough()];
  const status = await new Promise((resolve, reject) => {
    new k8s.Exec(config).exec(namespace, 'p', 'p', ['sh', '-c', 'read a; echo got $a; echo oops >&2; exit 4'], out, err, input, false, resolve).catch(reject);
    input.write('this\n');
  });
  seen.exec = [out.text(), err.text(), status.details.causes[0].message];
  const [echo, typed] = [collected(), new PassThrough()];
  const socket = await new k8s.Attach(config).attach(namespace, 'p', 'p', echo, null, typed, false);
  typed.write('echo?\n');
  await until(() => echo.text());
  seen.attach = echo.text();
  socket.close();
  const backend = net.createServer((peer) => peer.on('data', (data) => peer.write(`re: ${data}`))).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  const forward = new k8s.PortForward(config);
  const front = net.createServer((peer) => forward.portForward(namespace, 'p', [backend.address().port], peer, null, peer)).listen(0, '127.0.0.1');
  await once(front, 'listening');
  const client = net.connect(front.address().port, '127.0.0.1', () => client.write('ping'));
  seen.forwarded = String((await once(client, 'data'))[0]);
  const log = collected();
  await new k8s.Log(config).log(namespace, 'p', 'p', log, { tailLines: 1 });
  await until(() => log.text());
  seen.log = log.text();
}

await { objects, watches, streams }[part]();
console.log(JSON.stringify(seen));
process.exit(0);
