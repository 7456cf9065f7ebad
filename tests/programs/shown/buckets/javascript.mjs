// The battery by the AWS SDK for JavaScript, version 3.
import assert from "node:assert";

import * as sdk from "@aws-sdk/client-s3";

const Bucket = process.env.BATTERY_BUCKET;
const Odd = "in deep/a b+c&d=ü'(1).txt";

const part = Buffer.alloc(6 << 20, Buffer.from(Array.from({ length: 256 }, (_, at) => at)));
const s3 = new sdk.S3Client({ forcePathStyle: true });
const ask = (name, more = {}) => s3.send(new sdk[`${name}Command`]({ Bucket, ...more }));
const bytes = async (answer) => Buffer.from(await answer.Body.transformToByteArray());

async function step(name, act) {
  try {
    await act();
    console.log(`right ${name}`);
  } catch (error) {
    console.log(`WRONG ${name}: ${error.name}: ${String(error.message).replace(/\s+/g, " ").slice(0, 300)}`);
  }
}

await step("bucket", () => ask("CreateBucket"));
await step("put, get", async () => {
  await ask("PutObject", { Key: Odd, Body: "hello", ContentType: "text/x", Metadata: { who: "me" } });
  const found = await ask("GetObject", { Key: Odd });
  assert.equal((await bytes(found)).toString(), "hello");
  assert.deepEqual([found.ContentType, found.Metadata], ["text/x", { who: "me" }]);
});
await step("large", async () => {
  const { UploadId } = await ask("CreateMultipartUpload", { Key: "large" });
  const Parts = [];
  for (const PartNumber of [1, 2]) {
    const done = await ask("UploadPart", { Key: "large", UploadId, PartNumber, Body: part });
    Parts.push({ PartNumber, ETag: done.ETag, ChecksumCRC32: done.ChecksumCRC32 });
  }
  await ask("CompleteMultipartUpload", { Key: "large", UploadId, MultipartUpload: { Parts } });
  assert.ok((await bytes(await ask("GetObject", { Key: "large" }))).equals(Buffer.concat([part, part])));
});
await step("range", async () => {
  const found = await ask("GetObject", { Key: "large", Range: "bytes=250-260" });
  assert.ok((await bytes(found)).equals(part.subarray(250, 261)));
});
await step("listing", async () => {
  const keys = [];
  for await (const page of sdk.paginateListObjectsV2({ client: s3, pageSize: 1 }, { Bucket }))
    keys.push(...(page.Contents ?? []).map((one) => one.Key));
  assert.deepEqual(keys, [Odd, "large"]);
});
await step("copy", async () => {
  await ask("CopyObject", { Key: "copied", CopySource: `${Bucket}/${encodeURIComponent(Odd)}` });
  assert.equal((await bytes(await ask("GetObject", { Key: "copied" }))).toString(), "hello");
});
await step("if-none", () =>
  assert.rejects(ask("PutObject", { Key: "copied", Body: "again", IfNoneMatch: "*" }), { name: "PreconditionFailed" }),
);
await step("remove", async () => {
  await ask("DeleteObjects", { Delete: { Objects: [{ Key: Odd }, { Key: "large" }, { Key: "copied" }] } });
  await ask("DeleteBucket");
  await assert.rejects(ask("HeadBucket"), { name: "NotFound" });
});
