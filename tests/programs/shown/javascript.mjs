// A model deployed, asked and taken down again with the AWS SDK for JavaScript, version 3.
import assert from "node:assert";
import { readFileSync } from "node:fs";

import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import {
  CreateEndpointCommand,
  CreateEndpointConfigCommand,
  CreateModelCommand,
  DeleteEndpointCommand,
  DeleteEndpointConfigCommand,
  DeleteModelCommand,
  SageMakerClient,
  waitUntilEndpointDeleted,
  waitUntilEndpointInService,
} from "@aws-sdk/client-sagemaker";
import { InvokeEndpointCommand, SageMakerRuntimeClient } from "@aws-sdk/client-sagemaker-runtime";

const [name, bucket] = ["flowers-js", "javascript"];
const role = "arn:aws:iam::000000000000:role/any";
const image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3";
const s3 = new S3Client({ forcePathStyle: true });
const sagemaker = new SageMakerClient({});
const runtime = new SageMakerRuntimeClient({});

await s3.send(new CreateBucketCommand({ Bucket: bucket }));
await s3.send(new PutObjectCommand({ Bucket: bucket, Key: "model.tar.gz", Body: readFileSync("logistic.tar.gz") }));
console.log("==> the model is in a bucket");

await sagemaker.send(
  new CreateModelCommand({
    ModelName: name,
    ExecutionRoleArn: role,
    PrimaryContainer: { Image: image, ModelDataUrl: `s3://${bucket}/model.tar.gz` },
  }),
);
await sagemaker.send(
  new CreateEndpointConfigCommand({
    EndpointConfigName: name,
    ProductionVariants: [
      { VariantName: "AllTraffic", ModelName: name, InitialInstanceCount: 1, InstanceType: "ml.m5.large" },
    ],
  }),
);
await sagemaker.send(new CreateEndpointCommand({ EndpointName: name, EndpointConfigName: name }));
const waiting = { client: sagemaker, maxWaitTime: 300, minDelay: 1, maxDelay: 2 };
await waitUntilEndpointInService(waiting, { EndpointName: name });
console.log("==> the endpoint is in service");

const answer = await runtime.send(
  new InvokeEndpointCommand({
    EndpointName: name,
    ContentType: "application/json",
    Accept: "application/json",
    Body: JSON.stringify([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]),
  }),
);
assert.deepEqual(JSON.parse(new TextDecoder().decode(answer.Body)), [0, 2]);
assert.equal(answer.InvokedProductionVariant, "AllTraffic");
console.log("==> it answers");

await assert.rejects(runtime.send(new InvokeEndpointCommand({ EndpointName: "none", Body: "1" })), {
  name: "ValidationError",
});
console.log("==> what is not there is refused");

await sagemaker.send(new DeleteEndpointCommand({ EndpointName: name }));
await waitUntilEndpointDeleted(waiting, { EndpointName: name });
await sagemaker.send(new DeleteEndpointConfigCommand({ EndpointConfigName: name }));
await sagemaker.send(new DeleteModelCommand({ ModelName: name }));
console.log("==> nothing is left");
