"""HTTP edge of the AWS faces and of people's pages."""
