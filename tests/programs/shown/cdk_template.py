"""Creates what a template of CDK's has of SageMaker: python cdk_template.py cdk.out/NAME.template.json."""

import json
import re
import sys

import boto3

sagemaker = boto3.client("sagemaker")
KINDS = {
    "AWS::SageMaker::Model": (sagemaker.create_model, "ModelName"),
    "AWS::SageMaker::EndpointConfig": (sagemaker.create_endpoint_config, "EndpointConfigName"),
    "AWS::SageMaker::Endpoint": (sagemaker.create_endpoint, "EndpointName"),
}


def resolved(value, names):
    """A value of the template without functions: references become names of what is there."""
    match value:
        case {"Ref": name}:
            return names.get(name, name)
        case {"Fn::GetAtt": [name, *_]}:
            return names.get(name, f"arn:aws:iam::000000000000:role/{name}")
        case {"Fn::Join": [between, parts]}:
            return between.join(resolved(part, names) for part in parts)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: names.get(found[1], found[1]), text)
        case dict():
            return {key: resolved(each, names) for key, each in value.items()}
        case list():
            return [resolved(each, names) for each in value]
    return value


names = {"AWS::Region": "us-east-1", "AWS::AccountId": "000000000000", "AWS::URLSuffix": "amazonaws.com"}
with open(sys.argv[1], encoding="utf-8") as file:
    resources = json.load(file)["Resources"]
for kind, (create, member) in KINDS.items():
    for name, resource in resources.items():
        if resource["Type"] == kind:
            asked = {member: name, **resolved(resource["Properties"], names)}
            create(**asked)
            names[name] = asked[member]
            print(kind, asked[member])
