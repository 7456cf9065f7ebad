"""What is kept and not run, by stock boto3: experiments, pipelines, feature groups, domains and their kin."""

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.aws.conftest import ACCOUNT, Stage

ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture(scope="module")
def client(stage: Stage) -> Any:
    return boto3.client(
        "sagemaker",
        endpoint_url=stage.url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=30, read_timeout=60),
    )


def arn(tail: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:{tail}"


def test_an_experiment_and_its_trials(client: Any) -> None:
    made = client.create_experiment(ExperimentName="e-1", Tags=[{"Key": "team", "Value": "a"}])
    assert made["ExperimentArn"] == arn("experiment/e-1")
    client.create_trial(TrialName="t-1", ExperimentName="e-1")
    found = client.describe_trial(TrialName="t-1")
    assert (found["TrialArn"], found["ExperimentName"]) == (arn("experiment-trial/t-1"), "e-1")
    assert found["CreationTime"] <= datetime.now(UTC)
    (summary,) = client.list_trials(ExperimentName="e-1")["TrialSummaries"]
    assert summary["TrialName"] == "t-1"
    assert client.list_trials(ExperimentName="e-2")["TrialSummaries"] == []
    client.update_experiment(ExperimentName="e-1", Description="now with words")
    assert client.describe_experiment(ExperimentName="e-1")["Description"] == "now with words"
    assert client.delete_trial(TrialName="t-1")["TrialArn"] == arn("experiment-trial/t-1")
    with pytest.raises(client.exceptions.ResourceNotFound):
        client.describe_trial(TrialName="t-1")


def test_a_trial_needs_its_experiment(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFound, match="experiment/none does not exist"):
        client.create_trial(TrialName="t-2", ExperimentName="none")


def test_a_pipeline_is_found_to_exist_as_the_sdk_looks_for_it(client: Any) -> None:
    asked = {"PipelineName": "p-1", "RoleArn": ROLE, "ClientRequestToken": "x" * 32}
    client.create_pipeline(PipelineDefinition="{}", **asked)
    with pytest.raises(ClientError, match="already exists") as refused:
        client.create_pipeline(PipelineDefinition="{}", **asked)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    client.update_pipeline(PipelineName="p-1", PipelineDefinition='{"Steps": []}')
    found = client.describe_pipeline(PipelineName="p-1")
    assert (found["PipelineDefinition"], found["PipelineStatus"]) == ('{"Steps": []}', "Active")
    assert client.describe_pipeline(PipelineName=found["PipelineArn"])["PipelineName"] == "p-1"
    (summary,) = client.list_pipelines(PipelineNamePrefix="p")["PipelineSummaries"]
    assert summary["PipelineArn"] == arn("pipeline/p-1")
    assert client.list_pipelines(PipelineNamePrefix="q")["PipelineSummaries"] == []
    with pytest.raises(ClientError, match="StartPipelineExecution is not served"):
        client.start_pipeline_execution(PipelineName="p-1", ClientRequestToken="x" * 32)


def test_a_feature_group_grows(client: Any) -> None:
    features = [{"FeatureName": name, "FeatureType": "String"} for name in ("id", "at")]
    client.create_feature_group(
        FeatureGroupName="f-1",
        RecordIdentifierFeatureName="id",
        EventTimeFeatureName="at",
        FeatureDefinitions=features,
        OnlineStoreConfig={"EnableOnlineStore": True},
    )
    more = {"FeatureName": "price", "FeatureType": "Fractional"}
    client.update_feature_group(FeatureGroupName="f-1", FeatureAdditions=[more])
    found = client.describe_feature_group(FeatureGroupName="f-1")
    assert found["FeatureDefinitions"] == [*features, more]
    assert (found["FeatureGroupStatus"], found["OnlineStoreConfig"]) == (
        "Created",
        {"EnableOnlineStore": True},
    )
    with pytest.raises(client.exceptions.ResourceInUse):
        client.create_feature_group(
            FeatureGroupName="f-1",
            RecordIdentifierFeatureName="id",
            EventTimeFeatureName="at",
            FeatureDefinitions=features,
        )


def test_a_domain_gets_an_id_and_holds_profiles(client: Any) -> None:
    made = client.create_domain(
        DomainName="d", AuthMode="IAM", DefaultUserSettings={"ExecutionRole": ROLE}, SubnetIds=["subnet-1"]
    )
    domain = made["DomainId"]
    assert made["DomainArn"] == arn(f"domain/{domain}")
    client.create_user_profile(DomainId=domain, UserProfileName="ann")
    found = client.describe_user_profile(DomainId=domain, UserProfileName="ann")
    assert (found["UserProfileArn"], found["Status"]) == (arn(f"user-profile/{domain}/ann"), "InService")
    (profile,) = client.list_user_profiles(DomainIdEquals=domain)["UserProfiles"]
    assert profile["UserProfileName"] == "ann"
    assert client.list_user_profiles(DomainIdEquals="d-other")["UserProfiles"] == []


def test_an_update_of_a_structure_keeps_its_other_members(client: Any) -> None:
    repository = {"RepositoryUrl": "https://example.com/team/code.git", "Branch": "main"}
    client.create_code_repository(CodeRepositoryName="r-1", GitConfig=repository)
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:code"
    client.update_code_repository(CodeRepositoryName="r-1", GitConfig={"SecretArn": secret})
    found = client.describe_code_repository(CodeRepositoryName="r-1")
    assert found["GitConfig"] == {**repository, "SecretArn": secret}


def test_what_is_removed_from_a_component_or_an_image_is_gone(client: Any) -> None:
    parameters = {"depth": {"NumberValue": 3.0}, "kind": {"StringValue": "gini"}}
    client.create_trial_component(TrialComponentName="c-1", Parameters=parameters)
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    client.update_trial_component(TrialComponentName="c-1", ParametersToRemove=["depth"], StartTime=began)
    found = client.describe_trial_component(TrialComponentName="c-1")
    assert found["Parameters"] == {"kind": {"StringValue": "gini"}}
    assert found["StartTime"] == began
    client.create_image(ImageName="i-1", RoleArn=ROLE, DisplayName="shown")
    client.update_image(ImageName="i-1", DeleteProperties=["DisplayName"])
    assert "DisplayName" not in client.describe_image(ImageName="i-1")


def test_lists_come_in_pages_in_the_order_asked_for(client: Any) -> None:
    names = [f"page-{number:02}" for number in range(13)]
    for name in names:
        client.create_context(ContextName=name, Source={"SourceUri": "s3://any"}, ContextType="pages")
    asked = {"ContextType": "pages", "SortBy": "Name", "SortOrder": "Ascending"}
    first = client.list_contexts(**asked)
    second = client.list_contexts(**asked, NextToken=first["NextToken"])
    seen = [each["ContextName"] for page in (first, second) for each in page["ContextSummaries"]]
    assert seen == names
    assert "NextToken" not in second
    with pytest.raises(ClientError, match="other filters"):
        client.list_contexts(**{**asked, "SortOrder": "Descending"}, NextToken=first["NextToken"])
    with pytest.raises(ClientError, match="none that a list call gave"):
        client.list_contexts(NextToken="made up")
    newest = client.list_contexts(ContextType="pages", MaxResults=1)["ContextSummaries"]
    assert [each["ContextName"] for each in newest] == ["page-12"]
    late = client.list_contexts(ContextType="pages", CreatedAfter=datetime(2100, 1, 1, tzinfo=UTC))
    assert late["ContextSummaries"] == []


def test_tags_say_that_it_is_not_run(client: Any) -> None:
    client.create_project(ProjectName="tagged", Tags=[{"Key": "a", "Value": "1"}])
    project = arn("project/tagged")
    client.add_tags(ResourceArn=project, Tags=[{"Key": "b", "Value": "2"}])
    client.delete_tags(ResourceArn=project, TagKeys=["a", "never there"])
    assert client.list_tags(ResourceArn=project)["Tags"] == [
        {"Key": "b", "Value": "2"},
        {"Key": "sagebird:kept-not-run", "Value": "true"},
    ]
    with pytest.raises(ClientError, match="Could not find project"):
        client.list_tags(ResourceArn=arn("project/none"))


def test_jobs_are_not_said_to_have_run(client: Any) -> None:
    with pytest.raises(ClientError, match="CreateMonitoringSchedule is not served"):
        client.create_monitoring_schedule(
            MonitoringScheduleName="m",
            MonitoringScheduleConfig={
                "MonitoringJobDefinitionName": "j",
                "MonitoringType": "DataQuality",
                "ScheduleConfig": {"ScheduleExpression": "cron(0 * ? * * *)"},
            },
        )


def test_runs_of_experiments_are_found_by_what_they_are(client: Any) -> None:
    for number in range(2):
        name, parameters = f"run-{number}", {"depth": {"NumberValue": number}}
        tags = [{"Key": "run", "Value": str(number)}]
        client.create_trial_component(TrialComponentName=name, Parameters=parameters, Tags=tags)

    def named(**condition: str) -> list[str]:
        runs = {"Name": "TrialComponentName", "Operator": "Contains", "Value": "run-"}
        asked = {"Filters": [runs, condition]}
        answer = client.search(Resource="ExperimentTrialComponent", SearchExpression=asked)
        return [each["TrialComponent"]["TrialComponentName"] for each in answer["Results"]]

    deeper = {"Name": "Parameters.depth.NumberValue", "Operator": "GreaterThan", "Value": "0"}
    assert named(**deeper) == ["run-1"]
    assert named(Name="Tags.run", Operator="Equals", Value="0") == ["run-0"]
    with pytest.raises(ClientError, match="Search of TrainingJob"):
        client.search(Resource="TrainingJob")
