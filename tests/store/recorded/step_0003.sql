BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE facts (
	name VARCHAR(80) NOT NULL, 
	value JSON NOT NULL, 
	revision BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "facts" VALUES('default_endpoint','"ab"',32);
INSERT INTO "facts" VALUES('registered_models','{"x": "/models/x"}',32);
CREATE TABLE gateways (
	pid INTEGER NOT NULL, 
	revision BIGINT NOT NULL, 
	reports JSON NOT NULL, 
	models JSON NOT NULL, 
	PRIMARY KEY (pid)
);
INSERT INTO "gateways" VALUES(1,19,'[["ab", 9, "a", "warm", ""], ["changing", 12, "a", "warm", ""], ["declared", 18, "a", "warm", ""], ["declared", 18, "c", "warm", ""], ["less", 10, "a", "warm", ""], ["queued", 11, "a", "warm", ""], ["removed", 13, "a", "warm", ""], ["removed", 13, "c", "warm", ""]]','[]');
INSERT INTO "gateways" VALUES(4242,33,'[["ab", 9, "a", "warm", ""], ["changing", 12, "a", "warm", ""], ["changing", 13, "a", "warm", ""], ["changing", 13, "c", "warm", ""], ["declared", 18, "a", "warm", ""], ["declared", 18, "c", "warm", ""], ["less", 10, "a", "warm", ""], ["new", 24, "a", "warm", ""], ["queued", 11, "a", "warm", ""]]','[]');
CREATE TABLE removals (
	kind VARCHAR(40) NOT NULL, 
	name VARCHAR(120) NOT NULL, 
	revision BIGINT NOT NULL, 
	PRIMARY KEY (kind, name)
);
INSERT INTO "removals" VALUES('model','old',26);
CREATE TABLE resources (
	kind VARCHAR(40) NOT NULL, 
	name VARCHAR(120) NOT NULL, 
	document JSON NOT NULL, 
	status VARCHAR(40) NOT NULL, 
	failure_reason JSON NOT NULL, 
	state JSON NOT NULL, 
	declared BOOLEAN NOT NULL, 
	tags JSON NOT NULL, 
	created_at FLOAT NOT NULL, 
	modified_at FLOAT NOT NULL, 
	revision BIGINT NOT NULL, 
	PRIMARY KEY (kind, name)
);
INSERT INTO "resources" VALUES('model','one','{"ModelName": "one", "PrimaryContainer": {"Image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "ModelDataUrl": "s3://models/one.tar.gz", "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "LEVEL": "\u00e9"}}}','','""','{}',0,'{}',1767355200.0,1767355200.0,2);
INSERT INTO "resources" VALUES('model','many','{"ModelName": "many", "PrimaryContainer": {"Image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "ModelDataUrl": "s3://models/many/", "Mode": "MultiModel"}}','','""','{}',0,'{}',1767355200.0,1767355200.0,3);
INSERT INTO "resources" VALUES('endpoint-config','ab','{"EndpointConfigName": "ab", "ProductionVariants": [{"VariantName": "a", "ModelName": "one", "InitialInstanceCount": 2, "InstanceType": "ml.m5.large", "InitialVariantWeight": 3.0}, {"VariantName": "b", "ModelName": "many", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large", "InitialVariantWeight": 0.0, "RoutingConfig": {"RoutingStrategy": "RANDOM"}}], "DataCaptureConfig": {"InitialSamplingPercentage": 30, "DestinationS3Uri": "s3://models/capture", "CaptureOptions": [{"CaptureMode": "Input"}]}}','','""','{}',0,'{"team": "red"}',1767355200.0,1767355200.0,5);
INSERT INTO "resources" VALUES('endpoint-config','ab2','{"EndpointConfigName": "ab2", "ProductionVariants": [{"VariantName": "a", "ModelName": "one", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}, {"VariantName": "c", "ModelName": "old", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}]}','','""','{}',0,'{}',1767355200.0,1767355200.0,6);
INSERT INTO "resources" VALUES('endpoint-config','less','{"EndpointConfigName": "less", "ProductionVariants": [{"VariantName": "a", "ModelName": "one", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 2}}]}','','""','{}',0,'{}',1767355200.0,1767355200.0,7);
INSERT INTO "resources" VALUES('endpoint-config','queued','{"EndpointConfigName": "queued", "ProductionVariants": [{"VariantName": "a", "ModelName": "one", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}], "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://models/out"}}}','','""','{}',0,'{}',1767355200.0,1767355200.0,8);
INSERT INTO "resources" VALUES('endpoint','ab','{"EndpointName": "ab", "EndpointConfigName": "ab"}','Updating','""','{"active": {"config_name": "ab", "generation": 9, "begun_at": 1767355200.0, "shown": {"DataCaptureConfig": {"EnableCapture": true, "CaptureStatus": "Stopped", "CurrentSamplingPercentage": 30, "DestinationS3Uri": "s3://models/capture", "KmsKeyId": ""}}, "variants": [{"name": "a", "weight": 3.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {"LEVEL": "\u00e9", "SAGEMAKER_PROGRAM": "inference.py"}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 2, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}, {"name": "b", "weight": 0.5, "location": "s3://models/many/", "multi": true, "environment": {}, "version": "", "lazy": false, "pin": false, "instances": 1, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {"RoutingConfig": {"RoutingStrategy": "RANDOM"}}}]}, "pending": null, "generation": 9, "awaited": 22, "before": [["a", 3.0, 2, null], ["b", 0.0, 1, null]], "heals": false}',0,'{"team": "blue"}',1767355200.0,1767355200.0,22);
INSERT INTO "resources" VALUES('endpoint','less','{"EndpointName": "less", "EndpointConfigName": "less"}','Updating','""','{"active": {"config_name": "less", "generation": 10, "begun_at": 1767355200.0, "shown": {}, "variants": [{"name": "a", "weight": 1.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {"LEVEL": "\u00e9", "SAGEMAKER_PROGRAM": "inference.py"}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 1, "most_calls": 7, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 7, "ProvisionedConcurrency": 2}}}]}, "pending": null, "generation": 10, "awaited": 21, "before": [["a", 1.0, 1, {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 2}]], "heals": false}',0,'{}',1767355200.0,1767355200.0,21);
INSERT INTO "resources" VALUES('endpoint','queued','{"EndpointName": "queued", "EndpointConfigName": "queued"}','InService','""','{"active": {"config_name": "queued", "generation": 11, "begun_at": 1767355200.0, "shown": {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://models/out"}}}, "variants": [{"name": "a", "weight": 1.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {"LEVEL": "\u00e9", "SAGEMAKER_PROGRAM": "inference.py"}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 1, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}]}, "pending": null, "generation": 11, "awaited": null, "before": [], "heals": false}',0,'{}',1767355200.0,1767355200.0,15);
INSERT INTO "resources" VALUES('endpoint','changing','{"EndpointName": "changing", "EndpointConfigName": "ab"}','Updating','""','{"active": {"config_name": "ab", "generation": 12, "begun_at": 1767355200.0, "shown": {"DataCaptureConfig": {"EnableCapture": true, "CaptureStatus": "Stopped", "CurrentSamplingPercentage": 30, "DestinationS3Uri": "s3://models/capture", "KmsKeyId": ""}}, "variants": [{"name": "a", "weight": 3.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {"LEVEL": "\u00e9", "SAGEMAKER_PROGRAM": "inference.py"}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 2, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}, {"name": "b", "weight": 0.0, "location": "s3://models/many/", "multi": true, "environment": {}, "version": "", "lazy": false, "pin": false, "instances": 1, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {"RoutingConfig": {"RoutingStrategy": "RANDOM"}}}]}, "pending": {"config_name": "ab2", "generation": 13, "begun_at": 1767355200.0, "shown": {}, "variants": [{"name": "a", "weight": 3.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {"LEVEL": "\u00e9", "SAGEMAKER_PROGRAM": "inference.py"}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 2, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}, {"name": "c", "weight": 1.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 1, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}]}, "generation": 13, "awaited": null, "before": [], "heals": false}',0,'{}',1767355200.0,1767355200.0,23);
INSERT INTO "resources" VALUES('endpoint','removed','{"EndpointName": "removed", "EndpointConfigName": "ab2"}','Deleting','""','{"active": {"config_name": "ab2", "generation": 13, "begun_at": 1767355200.0, "shown": {}, "variants": [{"name": "a", "weight": 1.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {"LEVEL": "\u00e9", "SAGEMAKER_PROGRAM": "inference.py"}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 1, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}, {"name": "c", "weight": 1.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 1, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}]}, "pending": null, "generation": 13, "awaited": 25, "before": [], "heals": false}',0,'{}',1767355200.0,1767355200.0,25);
INSERT INTO "resources" VALUES('endpoint','broken','{"EndpointName": "broken", "EndpointConfigName": "ab2"}','Failed','"The primary container for production variant a did not pass the ping health check. Please check CloudWatch logs for this endpoint. it was no model"','{"active": {"config_name": "ab2", "generation": 16, "begun_at": 1767355200.0, "shown": {}, "variants": [{"name": "a", "weight": 1.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {"LEVEL": "\u00e9", "SAGEMAKER_PROGRAM": "inference.py"}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 1, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}, {"name": "c", "weight": 1.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 1, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}]}, "pending": null, "generation": 16, "awaited": null, "before": [], "heals": false}',0,'{}',1767355200.0,1767355200.0,17);
INSERT INTO "resources" VALUES('endpoint','declared','{"EndpointName": "declared", "EndpointConfigName": "ab2"}','InService','""','{"active": {"config_name": "ab2", "generation": 18, "begun_at": 1767355200.0, "shown": {}, "variants": [{"name": "a", "weight": 1.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {"LEVEL": "\u00e9", "SAGEMAKER_PROGRAM": "inference.py"}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 1, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}, {"name": "c", "weight": 1.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 1, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}]}, "pending": null, "generation": 18, "awaited": null, "before": [], "heals": true}',1,'{}',1767355200.0,1767355200.0,20);
INSERT INTO "resources" VALUES('endpoint','new','{"EndpointName": "new", "EndpointConfigName": "ab"}','Creating','""','{"active": null, "pending": {"config_name": "ab", "generation": 24, "begun_at": 1767355200.0, "shown": {"DataCaptureConfig": {"EnableCapture": true, "CaptureStatus": "Stopped", "CurrentSamplingPercentage": 30, "DestinationS3Uri": "s3://models/capture", "KmsKeyId": ""}}, "variants": [{"name": "a", "weight": 3.0, "location": "s3://models/one.tar.gz", "multi": false, "environment": {"LEVEL": "\u00e9", "SAGEMAKER_PROGRAM": "inference.py"}, "version": "04609e15520b156e2aff41f2159ee277", "lazy": false, "pin": false, "instances": 2, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {}}, {"name": "b", "weight": 0.0, "location": "s3://models/many/", "multi": true, "environment": {}, "version": "", "lazy": false, "pin": false, "instances": 1, "most_calls": null, "obstacle": "", "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "shown": {"RoutingConfig": {"RoutingStrategy": "RANDOM"}}}]}, "generation": 24, "awaited": null, "before": [], "heals": false}',0,'{}',1767355200.0,1767355200.0,24);
INSERT INTO "resources" VALUES('transform-job','done','{"TransformJobName": "done", "ModelName": "one", "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://models/in/"}}, "ContentType": "text/csv", "SplitType": "Line"}, "TransformOutput": {"S3OutputPath": "s3://models/out"}, "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1}}','Completed','""','{"location": "s3://models/one.tar.gz", "environment": {"SAGEMAKER_PROGRAM": "inference.py", "LEVEL": "\u00e9"}, "obstacle": "", "version": "v1", "dropped": "", "started_at": 1767355290.0, "ended_at": 1767355291.0, "files": 2, "size_bytes": 30, "failed": 0, "rows_in": 6, "rows_out": 6}',0,'{}',1767355200.0,1767355200.0,32);
INSERT INTO "resources" VALUES('transform-job','running','{"TransformJobName": "running", "ModelName": "one", "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://models/in/"}}, "ContentType": "text/csv", "SplitType": "Line"}, "TransformOutput": {"S3OutputPath": "s3://models/out"}, "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1}}','InProgress','""','{"location": "s3://models/one.tar.gz", "environment": {"SAGEMAKER_PROGRAM": "inference.py", "LEVEL": "\u00e9"}, "obstacle": "", "version": "v1", "dropped": "", "started_at": 1767355290.0, "ended_at": 0.0, "files": 2, "size_bytes": 30, "failed": 0, "rows_in": 0, "rows_out": 0}',0,'{}',1767355200.0,1767355200.0,31);
INSERT INTO "resources" VALUES('transform-job','stopping','{"TransformJobName": "stopping", "ModelName": "one", "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://models/in/"}}, "ContentType": "text/csv", "SplitType": "Line"}, "TransformOutput": {"S3OutputPath": "s3://models/out"}, "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1}}','Stopping','""','{"location": "s3://models/one.tar.gz", "environment": {"SAGEMAKER_PROGRAM": "inference.py", "LEVEL": "\u00e9"}, "obstacle": "", "version": "", "dropped": "", "started_at": 0.0, "ended_at": 0.0, "files": 0, "size_bytes": 0, "failed": 0, "rows_in": 0, "rows_out": 0}',0,'{}',1767355200.0,1767355200.0,33);
CREATE TABLE results (
	job VARCHAR(120) NOT NULL, 
	digest VARCHAR(32) NOT NULL, 
	name JSON NOT NULL, 
	rows_in BIGINT NOT NULL, 
	rows_out BIGINT NOT NULL, 
	rejected BIGINT NOT NULL, 
	seconds FLOAT NOT NULL, 
	failed BOOLEAN NOT NULL, 
	error JSON NOT NULL, 
	identity JSON NOT NULL, 
	PRIMARY KEY (job, digest)
);
INSERT INTO "results" VALUES('done','8f29c84ae699d880991157333566255f','"a.csv"',3,3,0,0.5,0,'null','[1, 2, 3]');
INSERT INTO "results" VALUES('done','c4e5b84aadcb28890260199e8d9dd7ba','"b.csv"',3,3,0,0.5,0,'null','[1, 2, 3]');
CREATE TABLE revisions (
	id INTEGER NOT NULL, 
	revision BIGINT NOT NULL, 
	forgotten BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "revisions" VALUES(1,33,0);
CREATE TABLE tasks (
	job VARCHAR(120) NOT NULL, 
	number INTEGER NOT NULL, 
	kind VARCHAR(10) NOT NULL, 
	queued_at FLOAT NOT NULL, 
	inputs JSON NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	attempts INTEGER NOT NULL, 
	owner VARCHAR(40) NOT NULL, 
	beat_at FLOAT NOT NULL, 
	stopping BOOLEAN NOT NULL, 
	PRIMARY KEY (job, number)
);
INSERT INTO "tasks" VALUES('done',-1,'settle',1767355290.0,'[]',0,0,'',0.0,0);
INSERT INTO "tasks" VALUES('running',1,'work',1767355200.0,'[["a.csv", "models/in/a.csv", 10]]',10,1,'f0e49902c84c451eb0217300eabc47da',1767355290.0,0);
INSERT INTO "tasks" VALUES('running',2,'work',1767355200.0,'[["b.csv", "models/in/b.csv", 20]]',20,0,'',0.0,0);
INSERT INTO "tasks" VALUES('stopping',-1,'settle',1767355200.0,'[]',0,0,'',0.0,0);
CREATE INDEX resources_by_status ON resources (kind, status, name);
CREATE INDEX resources_by_creation ON resources (kind, created_at, name, status);
CREATE INDEX resources_by_change ON resources (kind, modified_at, name, status);
CREATE INDEX resources_by_revision ON resources (revision);
CREATE INDEX removals_by_revision ON removals (revision);
CREATE INDEX tasks_by_age ON tasks (queued_at, job, number);
CREATE INDEX tasks_by_owner ON tasks (owner);
COMMIT;
