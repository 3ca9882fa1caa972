"""SQL: any question of a reader's own, over documented views, within its project."""
