# Everything that a hosted model needs, in one configuration: role, policies, bucket, objects, logs, models, endpoint, alarm.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "url" { default = "http://localhost:8080" }
variable "weight" { default = 1 }
variable "threshold" { default = 5 }
variable "retention" { default = 7 }

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "any"
  secret_key                  = "any"
  s3_use_path_style           = true
  skip_metadata_api_check     = true
  endpoints {
    cloudwatch = var.url
    iam        = var.url
    logs       = var.url
    s3         = var.url
    sagemaker  = var.url
    sts        = var.url
  }
}

data "aws_caller_identity" "me" {}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["sagemaker.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "read" {
  statement {
    actions   = ["s3:GetObject", "s3:ListBucket"]
    resources = [aws_s3_bucket.models.arn, "${aws_s3_bucket.models.arn}/*"]
  }
}

resource "aws_iam_role" "models" {
  name               = "tf-flowers"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = { team = "a" }
}

resource "aws_iam_role_policy_attachment" "sagemaker" {
  role       = aws_iam_role.models.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
}

resource "aws_iam_policy" "read" {
  name   = "tf-flowers-read"
  policy = data.aws_iam_policy_document.read.json
}

resource "aws_iam_role_policy_attachment" "read" {
  role       = aws_iam_role.models.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_role_policy" "logs" {
  name   = "logs"
  role   = aws_iam_role.models.name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "logs:*", Resource = "*" }]
  })
}

resource "aws_s3_bucket" "models" {
  bucket        = "tf-flowers"
  force_destroy = true
  tags          = { team = "a" }
}

resource "aws_s3_object" "model" {
  for_each = toset(["logistic", "forest"])
  bucket   = aws_s3_bucket.models.id
  key      = "${each.key}/model.tar.gz"
  source   = "${each.key}.tar.gz"
  etag     = filemd5("${each.key}.tar.gz")
}

resource "aws_cloudwatch_log_group" "endpoint" {
  name              = "/aws/sagemaker/Endpoints/tf-flowers"
  retention_in_days = var.retention
  tags              = { team = "a" }
}

resource "aws_sagemaker_model" "flowers" {
  for_each           = aws_s3_object.model
  name               = "tf-${each.key}"
  execution_role_arn = aws_iam_role.models.arn
  primary_container {
    image          = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
    model_data_url = "s3://${each.value.bucket}/${each.value.key}"
    environment    = { LOG_LEVEL = "info" }
  }
}

resource "aws_sagemaker_endpoint_configuration" "flowers" {
  name_prefix = "tf-flowers-"
  dynamic "production_variants" {
    for_each = { logistic = 1, forest = var.weight }
    content {
      variant_name           = production_variants.key
      model_name             = aws_sagemaker_model.flowers[production_variants.key].name
      initial_instance_count = 1
      instance_type          = "ml.m5.large"
      initial_variant_weight = production_variants.value
    }
  }
  lifecycle { create_before_destroy = true }
}

resource "aws_sagemaker_endpoint" "flowers" {
  name                 = "tf-flowers"
  endpoint_config_name = aws_sagemaker_endpoint_configuration.flowers.name
  tags                 = { team = "a" }
  depends_on           = [aws_cloudwatch_log_group.endpoint]
}

resource "aws_sagemaker_model_package_group" "flowers" {
  model_package_group_name        = "tf-flowers"
  model_package_group_description = "flowers"
  tags                            = { team = "a" }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "tf-flowers-errors"
  namespace           = "AWS/SageMaker"
  metric_name         = "Invocation5XXErrors"
  dimensions          = { EndpointName = aws_sagemaker_endpoint.flowers.name, VariantName = "logistic" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = var.threshold
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
}

output "account" { value = data.aws_caller_identity.me.account_id }
output "configuration" { value = aws_sagemaker_endpoint_configuration.flowers.name }
