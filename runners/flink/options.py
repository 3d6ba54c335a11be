"""Flags of Beam's runner for Flink that only its job server knows: they are passed on to it."""

#: Those of its batch jobs; the ones with a value first.
WITH_VALUE = (
    "environment_expiration_millis",
    "execution_mode_for_batch",
    "file_input_split_max_size_m_b",
    "files_to_stage",
    "flink_conf_dir",
    "job_check_interval_in_secs",
    "semi_persist_dir",
)
SWITCHES = (
    "disable_metrics",
    "faster_copy",
    "force_slot_sharing_group",
    "load_balance_bundles",
    "object_reuse",
    "operator_chaining",
    "re_iterable_group_by_key_result",
)
