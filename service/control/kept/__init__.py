"""Operations whose resources are kept and not run: feature groups, pipelines, projects and so on."""
