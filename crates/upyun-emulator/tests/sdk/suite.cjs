// Drives the official Node SDK against the emulator; every step that holds is reported as `ok <name>`.
'use strict'
const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')

const [sdk, authority, bucket, operator, password, picture, folder] = process.argv.slice(2)
const upyun = require(sdk)
const service = new upyun.Service(bucket, operator, password)
const client = new upyun.Client(service, { domain: authority, protocol: 'http' })
const md5 = data => crypto.createHash('md5').update(data).digest('hex')
const [host, port] = authority.split(':')

const steps = {
  async 'usage is a number' () {
    assert.ok(await client.usage() >= 0)
  },
  async 'text is stored' () {
    assert.equal(await client.putFile('/text.txt', 'Augue et arcu blandit.'), true)
    assert.equal(await client.getFile('/text.txt'), 'Augue et arcu blandit.')
  },
  async 'chinese path and space are stored' () {
    assert.equal(await client.putFile('/照片/旅行 1.txt', '中文测试'), true)
    assert.equal(await client.getFile('/照片/旅行 1.txt'), '中文测试')
  },
  async 'characters that encoders treat differently are stored' () {
    assert.equal(await client.putFile("/odd/a+b&c=d;e,f@g!h'i(j)k*l.txt", 'odd'), true)
    assert.equal(await client.getFile("/odd/a+b&c=d;e,f@g!h'i(j)k*l.txt"), 'odd')
  },
  async 'picture tells its size' () {
    const content = fs.readFileSync(picture)
    const options = { 'Content-Length': content.length, 'content-MD5': md5(content) }
    assert.deepEqual(await client.putFile('/cat.jpg', content, options),
      { width: 500, height: 333, frames: 1, 'file-type': 'JPEG' })
  },
  async 'wrong md5 is refused' () {
    await assert.rejects(client.putFile('/bad.txt', 'abc', { 'Content-MD5': md5('abd') }))
    assert.equal(await client.headFile('/bad.txt'), false)
  },
  async 'thumb is made before storing' () {
    const made = await client.putFile('/small.jpg', fs.readFileSync(picture), { 'x-gmkerl-thumb': '/fw/100' })
    assert.equal(made.width, 100)
  },
  async 'folder is listed' () {
    const { files } = await client.listDir()
    const file = files.find(one => one.name === 'text.txt')
    assert.equal(file.size, 22)
    assert.equal(file.type, 'N')
    assert.ok(file.time > 0)
    assert.equal(files.find(one => one.name === '照片').type, 'F')
  },
  async 'listing is paged in both orders' () {
    for (let n = 0; n < 5; n++) await client.putFile(`/pages/${n}.txt`, 'x')
    for (const order of ['asc', 'desc']) {
      const names = []
      let iter = ''
      for (let page = 0; page < 3; page++) {
        const answer = await client.listDir('/pages', { limit: 2, order, iter })
        names.push(...answer.files.map(file => file.name[0]))
        iter = answer.next
      }
      assert.equal(iter, 'g2gCZAAEbmV4dGQAA2VvZg')
      assert.equal(names.join(''), order === 'asc' ? '01234' : '43210')
    }
  },
  async 'missing folder lists as false' () {
    assert.equal(await client.listDir('/not-exist-dir'), false)
  },
  async 'folder is made again without complaint' () {
    assert.equal(await client.makeDir('/made'), true)
    assert.equal(await client.makeDir('/made'), true)
    assert.equal((await client.headFile('/made')).type, 'folder')
    assert.deepEqual((await client.listDir('/made')).files, [])
  },
  async 'head tells type, size and md5' () {
    const info = await client.headFile('/text.txt')
    assert.equal(info.type, 'file')
    assert.equal(info.size, 22)
    assert.equal(info['Content-Md5'], md5('Augue et arcu blandit.'))
    assert.ok(info.date > 0)
    assert.equal(await client.headFile('/not-exist'), false)
  },
  async 'files are deleted now and later' () {
    await client.putFile('/now.txt', 'x')
    await client.putFile('/later.txt', 'x')
    assert.equal(await client.deleteFile('/now.txt'), true)
    assert.equal(await client.deleteFile('/later.txt', true), true)
    assert.equal(await client.deleteFile('/not-exist'), false)
    await new Promise(resolve => setTimeout(resolve, 500))
    assert.equal(await client.headFile('/now.txt'), false)
    assert.equal(await client.headFile('/later.txt'), false)
  },
  async 'folders are deleted when empty' () {
    assert.equal(await client.deleteDir('/made'), true)
    await assert.rejects(client.deleteDir('/pages'), error => error.code === 40300005)
  },
  async 'file is streamed to disk' () {
    const target = path.join(folder, 'download.txt')
    await client.getFile('/text.txt', fs.createWriteStream(target))
    assert.equal(fs.readFileSync(target, 'utf8'), 'Augue et arcu blandit.')
    assert.equal(await client.getFile('/not-exist'), false)
  },
  async 'metadata is merged and replaced' () {
    assert.equal(await client.updateMetadata('/text.txt', { roll: '7' }), true)
    assert.equal(await client.updateMetadata('/text.txt', { frame: '12' }), true)
    let metas = await client.getMetadata('/text.txt')
    assert.equal(metas['x-upyun-meta-roll'], '7')
    assert.equal(await client.updateMetadata('/text.txt', { film: 'hp5' }, 'replace'), true)
    metas = await client.getMetadata('/text.txt')
    assert.deepEqual([metas['x-upyun-meta-roll'], metas['x-upyun-meta-film']], [undefined, 'hp5'])
  },
  async 'blocks are uploaded in turn' () {
    const large = path.join(folder, 'large.bin')
    fs.writeFileSync(large, crypto.randomBytes(2.5 * 1024 * 1024))
    assert.equal(await client.blockUpload('/blocks.bin', large), true)
    assert.equal((await client.headFile('/blocks.bin'))['Content-Md5'], md5(fs.readFileSync(large)))
  },
  async 'parts are uploaded in parallel' () {
    const data = crypto.randomBytes(3.2 * 1024 * 1024)
    const { partCount, uuid } = await client.initMultipartUpload('parts.bin', data)
    assert.equal(partCount, 4)
    assert.equal(uuid.length, 36)
    const parts = [3, 1, 0, 2].map(part => client.multipartUpload('parts.bin', data, uuid, part))
    assert.deepEqual(await Promise.all(parts), [true, true, true, true])
    assert.equal(await client.completeMultipartUpload('parts.bin', uuid), true)
    assert.equal((await client.headFile('/parts.bin'))['Content-Md5'], md5(data))
  },
  async 'form uploads a file' () {
    const answer = await client.formPutFile('/form/{filename}{.suffix}', fs.createReadStream(picture),
      { 'allow-file-type': 'jpg,png', 'content-length-range': '1,1000000', 'ext-param': 'roll 7' })
    assert.equal(answer.code, 200)
    assert.equal(answer.url, '/form/picture.jpg')
    assert.deepEqual([answer['image-width'], answer['image-type'], answer['ext-param']], [500, 'JPEG', 'roll 7'])
    assert.equal((await client.headFile('/form/picture.jpg')).type, 'file')
  },
  async 'form uploads base64' () {
    const content = 'dGVzdCBiYXNlNjQgdXBsb2Fk'
    const answer = await client.formPutFile('/base64.txt', content,
      { 'content-type': 'text/plain', b64encoded: 'on', 'content-md5': md5(content) })
    assert.equal(answer.code, 200)
    assert.equal(await client.getFile('/base64.txt'), 'test base64 upload')
  },
  async 'form signs a date in the policy or leaves it out' () {
    const answer = await client.formPutFile('/dated.txt', 'dated', { date: new Date().toGMTString() })
    assert.equal(answer.code, 200)
  },
  async 'form starts tasks' () {
    const apps = [{ name: 'thumb', 'x-gmkerl-thumb': '/fw/100', save_as: '/form/task.jpg' }]
    const answer = await client.formPutFile('/form/task-source.jpg', fs.createReadStream(picture), { apps })
    assert.equal(answer.task_ids.length, 1)
    assert.equal((await client.headFile('/form/task.jpg')).type, 'file')
  },
  async 'form refuses an expired policy and a wrong type' () {
    assert.equal(await client.formPutFile('/no.txt', 'x', { expiration: 1400000000 }), false)
    assert.equal(await client.formPutFile('/no.txt', 'x', { 'allow-file-type': 'jpg' }), false)
    assert.equal(await client.headFile('/no.txt'), false)
  },
  async 'file is copied and moved' () {
    assert.equal(await client.copy('/copy.txt', '/text.txt'), true)
    assert.equal(await client.move('/moved.txt', '/copy.txt'), true)
    assert.equal(await client.headFile('/copy.txt'), false)
    assert.equal(await client.getFile('/moved.txt'), 'Augue et arcu blandit.')
    assert.equal(await client.copy('/x.txt', '/not-exist.txt'), false)
  },
  async 'urls are purged' () {
    const proxied = new upyun.Client(service, { domain: authority, protocol: 'http', proxy: { host, port } })
    assert.equal(await proxied.purge([`http://${bucket}.b0.upaiyun.com/text.txt`]), true)
    await assert.rejects(proxied.purge('http://other.example.com/a.txt'), /some url purge failed/)
  },
  async 'wrong password is a signature error' () {
    const stranger = new upyun.Client(new upyun.Service(bucket, operator, 'wrong'),
      { domain: authority, protocol: 'http' })
    await assert.rejects(stranger.usage(), error => error.code === 40100005)
  }
}

async function main () {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step()
      console.log('ok ' + name)
    } catch (error) {
      console.error('FAILED ' + name + '\n' + error.stack)
      process.exitCode = 1
    }
  }
}
// The SDK leaves the answer to a refused form unread, and with it a socket that keeps the process alive.
main().then(() => process.exit())
