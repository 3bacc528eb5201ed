"""Every public name of both eras, with its signature and the test that shows what it does.

``TABLE`` holds rows by module, as text, which `test_names.py` reads:

| Row | Meaning |
|---|---|
| ``name`` | there is such a name |
| ``name = value`` | a constant, or a member of an enumeration, with this value |
| ``name(a, b=1, *, c=2)`` | something to call, with these parameters in this order |
| ``Class.{a, b}`` | properties that cannot be assigned to |
| ``Class.[a, b]`` | fields, as of a dataclass |
| ``-- file.test, …`` | the tests that show the rows below |

A parameter ``_`` may have any name. One that a row gives a default has this default. More parameters than a row names are fine as long as nobody
has to give them. A client's ``context`` and ``user`` are two names of one parameter.
"""

TABLE = {
    "ldclient": """
        -- test_singleton.test_set_config_puts_a_new_client_in_the_place_of_the_old
        set_config(config)
        -- test_singleton.test_set_sdk_key_changes_nothing_else
        set_sdk_key(sdk_key)
        -- test_singleton.test_get_gives_the_same_client_again
        get()
        -- test_singleton.test_reset_client_keeps_the_config
        _reset_client()
        -- test_singleton.test_get_waits_for_as_long_as_start_wait_says
        start_wait = 5
        -- test_modules.test_the_version_is_one
        __version__
        VERSION
        -- test_names.test_what_stands_in_several_places_is_one_thing
        NullHandler
        log
        LDClient
        Config
        Context
        ContextBuilder
        ContextMultiBuilder
        Result
        Stage
        Operation
        Origin
        ExecutionOrder
        OpTracker
        Migrator
        MigratorBuilder
        AsyncLDClient
        TwistedLDClient
        TwistedConfig
        -- test_modules.test_submodules_are_there_right_after_the_import
        client
        config
    """,
    "ldclient.version": """
        -- test_modules.test_the_version_is_one
        VERSION
    """,
    "ldclient.client": """
        -- test_config.test_key_and_config_combine, test_config.test_two_keys_are_refused
        LDClient(sdk_key=None, config=None, start_wait=5)
        Config(sdk_key)
        Context
        -- test_variation.test_a_flag_gives_its_value_and_why
        LDClient.variation(key, context, default)
        LDClient.variation_detail(key, context, default)
        -- test_variation.test_toggle_is_variation_with_a_warning
        LDClient.toggle(key, user, default=False)
        -- test_variation.test_alias_has_no_effect_and_says_so_once
        LDClient.alias(current_user, previous_user)
        -- test_events.test_custom_events_carry_data_and_metric
        LDClient.track(event_name, context, data=None, metric_value=None)
        -- test_events.test_built_in_attributes_of_users_are_reported_as_text
        LDClient.identify(context)
        -- test_flags_state.test_all_flags_is_the_values_alone
        LDClient.all_flags(user)
        -- test_flags_state.test_values_and_what_else_is_known
        LDClient.all_flags_state(context)
        -- test_users.test_secure_mode_hash
        LDClient.secure_mode_hash(context)
        -- test_singleton.test_set_sdk_key_changes_nothing_else
        LDClient.get_sdk_key()
        LDClient.is_offline()
        -- test_variation.test_a_client_without_flags_gives_defaults_and_says_so
        LDClient.is_initialized()
        -- test_events.test_flush_sends_now_without_waiting
        LDClient.flush()
        -- test_variation.test_a_closed_client_still_answers_from_memory
        LDClient.close()
        -- test_documented_snippets.test_both_eras_run_side_by_side
        LDClient.__enter__()
        LDClient.__exit__(exception_type, exception, traceback)
        -- test_process.test_postfork_makes_the_client_anew_in_place
        LDClient.postfork(start_wait=5)
        -- test_big_segments.test_listeners_are_told_of_each_new_status
        LDClient.{big_segment_store_status_provider}
        -- test_listeners.test_the_status_is_told_of_until_the_client_is_closed
        LDClient.{data_source_status_provider}
        -- test_stores.test_an_outage_is_told_and_ends
        LDClient.{data_store_status_provider}
        -- test_listeners.test_each_flag_that_changes_is_told_of_on_a_thread_of_the_clients
        LDClient.{flag_tracker}
        -- test_hooks.test_a_client_without_hooks_gets_one_while_it_runs
        LDClient.add_hook(hook)
        -- test_migrations.test_a_stage_comes_with_a_tracker_that_knows_the_flag
        LDClient.migration_variation(key, context, default_stage)
        -- test_migrations.test_what_a_program_notes_is_reported
        LDClient.track_migration_op(tracker)
    """,
    "ldclient.config": """
        -- test_config.test_every_parameter_is_a_read_only_property
        Config(sdk_key)
        Config.{sdk_key, base_uri, events_uri, stream_uri, events_base_uri, stream_base_uri, get_latest_flags_uri}
        Config.{connect_timeout, read_timeout, verify_ssl, http_proxy, http, stream, initial_reconnect_delay}
        Config.{poll_interval, payload_filter_key, offline, use_ldd, defaults, send_events, events_enabled}
        Config.{events_max_pending, events_upload_max_batch_size, flush_interval, enable_event_compression}
        Config.{omit_anonymous_contexts, inline_users_in_events, all_attributes_private, private_attributes}
        Config.{private_attribute_names, all_attribute_names, context_keys_capacity, context_keys_flush_interval}
        Config.{user_keys_capacity, user_keys_flush_interval, diagnostic_opt_out, diagnostic_recording_interval}
        Config.{wrapper_name, wrapper_version, application, feature_store, feature_requester_class}
        Config.{update_processor_class, event_processor_class, event_consumer_class, big_segments}
        Config.{datasystem_config, hooks, plugins, data_source_update_sink}
        -- test_config.test_other_copies
        Config.default()
        Config.copy_with_new_sdk_key(new_sdk_key)
        Config.with_wrapper_information(wrapper_name, wrapper_version=None)
        -- test_names.test_defaults_of_a_config_take_the_place_of_the_callers
        Config.get_default(key, default)
        -- test_config.test_a_missing_key_is_warned_of_unless_offline
        Config._validate()
        -- test_config.test_http_takes_the_place_of_the_single_options
        HTTPConfig(connect_timeout=10, read_timeout=15, http_proxy=None, ca_certs=None, cert_file=None, \
            disable_ssl_verification=False)
        HTTPConfig.{connect_timeout, read_timeout, http_proxy, ca_certs, cert_file, disable_ssl_verification}
        -- test_config.test_big_segments_config_knows_both_spellings
        BigSegmentsConfig(store=None, context_cache_size, context_cache_time, status_poll_interval=5, stale_after=120)
        BigSegmentsConfig.{store, context_cache_size, context_cache_time, user_cache_size, user_cache_time}
        BigSegmentsConfig.{status_poll_interval, stale_after}
        -- test_data_system.test_a_config_says_what_it_was_built_of
        DataSystemConfig
        -- test_data_system.test_a_builder_of_a_programs_own_is_asked_each_time_that_it_is_its_turn
        DataSourceBuilder
        -- test_names.test_the_table
        GET_LATEST_FEATURES_PATH = "/sdk/latest-flags"
        STREAM_FLAGS_PATH = "/flags"
        DEFAULT_BASE_URI = "https://app.launchdarkly.com"
        DEFAULT_EVENTS_URI = "https://events.launchdarkly.com"
        DEFAULT_STREAM_URI = "https://stream.launchdarkly.com"
    """,
    "ldclient.context": """
        -- test_context.test_a_created_context
        Context.DEFAULT_KIND = "user"
        Context.MULTI_KIND = "multi"
        Context.create(key, kind=None)
        Context.{valid, error, multiple, kind, key, name, anonymous, individual_context_count}
        Context.{custom_attributes, private_attributes, fully_qualified_key}
        Context.get(attribute)
        Context.to_dict()
        -- test_context.test_several_kinds
        Context.create_multi(*contexts)
        Context.multi_builder()
        Context.get_individual_context(kind)
        ContextMultiBuilder()
        ContextMultiBuilder.add(context)
        ContextMultiBuilder.build()
        -- test_context.test_a_built_context_has_all_that_was_set
        Context.builder(key)
        ContextBuilder(key)
        ContextBuilder.key(key)
        ContextBuilder.kind(kind)
        ContextBuilder.name(name)
        ContextBuilder.anonymous(anonymous)
        ContextBuilder.set(attribute, value)
        ContextBuilder.private(*attributes)
        ContextBuilder.build()
        -- test_context.test_what_cannot_be_set_is_refused
        ContextBuilder.try_set(attribute, value)
        -- test_context.test_a_builder_can_be_used_again
        Context.builder_from_context(context)
        -- test_context.test_what_is_wrong_is_said_and_nothing_raises
        Context.from_dict(props)
        -- test_context.test_the_text_form_is_the_json_form
        Context.to_json_string()
        -- test_context.test_anonymous_members_can_be_left_out
        Context.without_anonymous_contexts()
        -- test_context.test_looking_inside_ends
        Context.__getitem__
        Context.__contains__
        Context.__iter__
        -- test_context.test_equality_is_deep_and_there_is_no_hash
        Context.__eq__
    """,
    "ldclient.evaluation": """
        -- test_modules.test_details_compare_print_and_pickle
        EvaluationDetail(value, variation_index, reason)
        EvaluationDetail.{value, variation_index, reason}
        EvaluationDetail.is_default_value()
        -- test_names.test_what_stands_in_several_places_is_one_thing
        FeatureFlagsState
        -- test_names.test_the_table
        BigSegmentsStatus.HEALTHY = "HEALTHY"
        BigSegmentsStatus.STALE = "STALE"
        BigSegmentsStatus.NOT_CONFIGURED = "NOT_CONFIGURED"
        BigSegmentsStatus.STORE_ERROR = "STORE_ERROR"
    """,
    "ldclient.flag": """
        -- test_names.test_what_stands_in_several_places_is_one_thing
        EvaluationDetail
        -- test_flag_alone.test_a_flag_is_evaluated_without_a_client
        evaluate(flag, user, store, event_factory)
        EvalResult.[detail, events]
        error_reason(error_kind)
    """,
    "ldclient.flags_state": """
        -- test_flags_state.test_values_and_what_else_is_known
        FeatureFlagsState(valid)
        FeatureFlagsState.{valid}
        FeatureFlagsState.get_flag_value(key)
        FeatureFlagsState.to_json_dict()
        -- test_flags_state.test_reasons_if_asked_for
        FeatureFlagsState.get_flag_reason(key)
        -- test_flags_state.test_what_is_given_out_is_a_copy
        FeatureFlagsState.to_values_map()
        -- test_flags_state.test_the_text_form_is_json_and_a_pickle_comes_back
        FeatureFlagsState.to_json_string()
        FeatureFlagsState.__getstate__()
        FeatureFlagsState.__setstate__
        -- test_flags_state.test_states_can_be_put_together_by_hand
        FeatureFlagsState.add_flag(flag, *args)
    """,
    "ldclient.interfaces": """
        -- test_python_stores.test_what_is_received_is_in_the_store_once_the_client_is_ready
        FeatureStore.get(kind, key, callback)
        FeatureStore.all(kind, callback)
        FeatureStore.init(all_data)
        FeatureStore.upsert(kind, item)
        FeatureStore.delete(kind, key, version)
        FeatureStore.{initialized}
        -- test_store_helpers.test_a_client_uses_a_wrapped_core
        FeatureStoreCore.init_internal(all_data)
        FeatureStoreCore.get_internal(kind, key)
        FeatureStoreCore.get_all_internal(kind)
        FeatureStoreCore.upsert_internal(kind, item)
        FeatureStoreCore.initialized_internal()
        -- test_data_sources.test_a_source_is_started_once_and_stopped_once
        BackgroundOperation.start()
        BackgroundOperation.stop()
        BackgroundOperation.is_alive()
        UpdateProcessor.start()
        UpdateProcessor.stop()
        UpdateProcessor.is_alive()
        -- test_data_sources.test_is_initialized_is_what_the_source_says
        UpdateProcessor.initialized()
        -- test_event_processors.test_each_evaluation_is_told_by_the_names_of_both_eras
        EventProcessor.send_event(event)
        -- test_event_processors.test_flush_and_close_are_passed_on_and_nothing_comes_afterwards
        EventProcessor.flush()
        EventProcessor.stop()
        -- test_data_sources.test_a_requester_is_asked_again_and_again
        FeatureRequester.get_all_data()
        FeatureRequester.get_one(kind, key)
        -- test_python_stores.test_the_report_names_the_kind_of_store
        DiagnosticDescription.describe_configuration(config)
        -- test_big_segments.test_a_store_written_in_python_says_who_is_in
        BigSegmentStore.get_metadata()
        BigSegmentStore.get_membership(context_hash)
        -- test_big_segments.test_the_store_is_stopped_with_the_client
        BigSegmentStore.stop()
        -- test_big_segments.test_a_store_that_was_never_up_to_date_is_stale
        BigSegmentStoreMetadata(last_up_to_date)
        BigSegmentStoreMetadata.{last_up_to_date}
        -- test_big_segments.test_listeners_are_told_of_each_new_status
        BigSegmentStoreStatus(available, stale)
        BigSegmentStoreStatus.{available, stale}
        BigSegmentStoreStatusProvider.{status}
        BigSegmentStoreStatusProvider.add_listener(listener)
        BigSegmentStoreStatusProvider.remove_listener(listener)
        -- test_listeners.test_the_status_is_told_of_until_the_client_is_closed
        DataSourceState.INITIALIZING = "initializing"
        DataSourceState.VALID = "valid"
        DataSourceState.INTERRUPTED = "interrupted"
        DataSourceState.OFF = "off"
        DataSourceErrorKind.UNKNOWN = "unknown"
        DataSourceErrorKind.NETWORK_ERROR = "network_error"
        DataSourceErrorKind.ERROR_RESPONSE = "error_response"
        DataSourceErrorKind.INVALID_DATA = "invalid_data"
        DataSourceErrorKind.STORE_ERROR = "store_error"
        DataSourceErrorInfo(kind, status_code, time, message)
        DataSourceErrorInfo.{kind, status_code, time, message}
        DataSourceStatus(state, since, error)
        DataSourceStatus.{state, since, error}
        DataSourceStatusProvider.{status}
        DataSourceStatusProvider.add_listener(listener)
        DataSourceStatusProvider.remove_listener(listener)
        -- test_data_sources.test_the_sink_writes_and_says_how_it_is_going
        DataSourceUpdateSink.init(all_data)
        DataSourceUpdateSink.upsert(kind, item)
        DataSourceUpdateSink.delete(kind, key, version)
        DataSourceUpdateSink.update_status(new_state, new_error)
        -- test_stores.test_an_outage_is_told_and_ends
        DataStoreStatus(available, stale)
        DataStoreStatus.{available, stale}
        DataStoreUpdateSink
        DataStoreStatusProvider.{status}
        DataStoreStatusProvider.is_monitoring_enabled()
        DataStoreStatusProvider.add_listener(listener)
        DataStoreStatusProvider.remove_listener(listener)
        -- test_listeners.test_each_flag_that_changes_is_told_of_on_a_thread_of_the_clients
        FlagChange(key)
        FlagChange.{key}
        FlagTracker.add_listener(listener)
        FlagTracker.remove_listener(listener)
        -- test_listeners.test_a_value_is_told_of_only_if_it_changed
        FlagValueChange(key, old_value, new_value)
        FlagValueChange.{key, old_value, new_value}
        FlagTracker.add_flag_value_change_listener(key, context, fn)
        -- test_data_system.test_a_store_that_is_somebody_elses_is_not_written
        DataStoreMode.READ_ONLY
        DataStoreMode.READ_WRITE
        ReadOnlyStore
        -- test_data_system.test_an_initializer_written_in_python_brings_the_first_flags
        Initializer
        Basis
        Selector
        ChangeSet
        -- test_data_system.test_a_synchronizer_written_in_python_keeps_flags_up_to_date
        Synchronizer
        Update
        -- test_data_system.test_messages_of_the_service_are_read_and_written
        Payload
        ServerIntent
        -- test_async_parts.test_a_store_is_read_in_daemon_mode_and_many_evaluations_wait_for_it_at_once
        AsyncFeatureStore.get(kind, key)
        AsyncFeatureStore.all(kind)
        AsyncFeatureStore.init(all_data)
        AsyncFeatureStore.upsert(kind, item)
        AsyncFeatureStore.delete(kind, key, version)
        AsyncFeatureStore.{initialized}
        -- test_async_parts.test_a_database_is_cached_for_a_client_and_for_the_program
        AsyncFeatureStoreCore
        -- test_async_parts.test_big_segments_are_asked_for
        AsyncBigSegmentStore.get_metadata()
        AsyncBigSegmentStore.get_membership(context_hash)
        AsyncBigSegmentStore.stop()
        AsyncBigSegmentStoreStatusProvider
        -- test_async_parts.test_a_data_source_of_coroutines_brings_flags
        AsyncBackgroundOperation
        AsyncUpdateProcessor.start()
        AsyncUpdateProcessor.stop()
        AsyncUpdateProcessor.initialized()
        -- test_async_parts.test_a_requester_of_coroutines_is_polled
        AsyncFeatureRequester.get_all_data()
        -- test_async_parts.test_an_event_processor_of_coroutines_takes_events_in_order
        AsyncEventProcessor.send_event(event)
        AsyncEventProcessor.flush()
        AsyncEventProcessor.stop()
        -- test_async_parts.test_sources_of_a_data_system_may_be_coroutines
        AsyncInitializer
        AsyncSynchronizer
        -- test_asyncio.test_listeners_are_called_on_the_event_loop_and_may_be_coroutines
        AsyncFlagTracker.add_listener(listener)
        AsyncFlagTracker.remove_listener(listener)
        AsyncFlagTracker.add_flag_value_change_listener(key, context, fn)
        AsyncDataSourceStatusProvider.add_listener(listener)
        AsyncDataSourceStatusProvider.remove_listener(listener)
        AsyncDataStoreStatusProvider
    """,
    "ldclient.feature_store": """
        -- test_feature_store.test_cache_config
        CacheConfig(expiration=15, capacity=1000)
        CacheConfig.DEFAULT_EXPIRATION = 15
        CacheConfig.DEFAULT_CAPACITY = 1000
        CacheConfig.default()
        CacheConfig.disabled()
        CacheConfig.{enabled, expiration, capacity}
        -- test_feature_store.test_a_store_is_initialized_by_a_full_data_set
        InMemoryFeatureStore()
        InMemoryFeatureStore.init(all_data)
        InMemoryFeatureStore.{initialized}
        -- test_feature_store.test_items_are_given_to_the_callback
        InMemoryFeatureStore.get(kind, key, callback)
        InMemoryFeatureStore.all(kind, callback)
        -- test_feature_store.test_only_newer_versions_are_written
        InMemoryFeatureStore.upsert(kind, item)
        -- test_feature_store.test_a_deletion_is_remembered
        InMemoryFeatureStore.delete(kind, key, version)
    """,
    "ldclient.feature_store_helpers": """
        -- test_store_helpers.test_items_are_read_once_present_or_not
        CachingStoreWrapper(core, cache_config)
        CachingStoreWrapper.get(kind, key, callback)
        CachingStoreWrapper.all(kind, callback)
        -- test_store_helpers.test_a_full_data_set_is_cached_and_in_order
        CachingStoreWrapper.init(all_data)
        -- test_store_helpers.test_what_is_written_is_read_from_the_cache_and_all_items_anew
        CachingStoreWrapper.upsert(kind, item)
        CachingStoreWrapper.delete(kind, key, version)
        -- test_store_helpers.test_whether_it_is_initialized_is_asked_until_it_is
        CachingStoreWrapper.{initialized}
    """,
    "ldclient.versioned_data_kind": """
        -- test_modules.test_data_kinds_are_keys_with_the_familiar_paths
        FEATURES
        SEGMENTS
        VersionedDataKind(namespace, request_api_path, stream_api_path)
        VersionedDataKind.{namespace, request_api_path, stream_api_path}
        VersionedDataKind.decode(data)
        VersionedDataKind.encode(item)
        VersionedDataKindWithOrdering.{priority, get_dependency_keys}
    """,
    "ldclient.integrations": """
        -- test_stores.test_the_layout_in_redis
        Redis.DEFAULT_URL = "redis://localhost:6379/0"
        Redis.DEFAULT_PREFIX = "launchdarkly"
        Redis.DEFAULT_MAX_CONNECTIONS = 16
        Redis.new_feature_store(url="redis://localhost:6379/0", prefix="launchdarkly", max_connections=16, caching, \
            redis_opts)
        -- test_big_segments.test_big_segments_in_redis
        Redis.new_big_segment_store(url="redis://localhost:6379/0", prefix="launchdarkly", max_connections=16, \
            redis_opts)
        -- test_stores.test_the_layout_in_consul
        Consul.DEFAULT_PREFIX = "launchdarkly"
        Consul.new_feature_store(host=None, port=None, prefix=None, consul_opts=None, caching)
        -- test_stores.test_the_layout_in_dynamodb
        DynamoDB.new_feature_store(table_name, prefix=None, dynamodb_opts, caching)
        -- test_big_segments.test_big_segments_in_dynamodb
        DynamoDB.new_big_segment_store(table_name, prefix=None, dynamodb_opts)
        -- test_files.test_json_is_read
        Files.new_data_source(paths, auto_update=False, poll_interval=1, force_polling=False)
        -- test_data_system.test_files_are_used_until_flags_come_that_are_up_to_date
        Files.new_data_source_v2(paths, poll_interval=1, force_polling=False)
        -- test_async_parts.test_redis_is_read_by_its_stores_for_asyncio
        Redis.async_feature_store(url="redis://localhost:6379/0", prefix=None, caching, redis_opts)
        Redis.async_big_segment_store(url="redis://localhost:6379/0", prefix=None, redis_opts)
        -- test_async_parts.test_dynamodb_is_read_by_its_store_for_asyncio
        DynamoDB.async_feature_store(table_name, prefix=None, dynamodb_opts, caching)
    """,
    "ldclient.integrations.test_data": """
        -- test_test_data.test_a_new_flag_is_true_for_everybody_and_false_when_off
        TRUE_VARIATION_INDEX = 0
        FALSE_VARIATION_INDEX = 1
        TestData.data_source()
        TestData.flag(key)
        TestData.update(flag_builder)
        -- test_test_data.test_pytest_does_not_take_them_for_tests
        TestData.__test__ = False
        -- test_test_data.test_builders_make_the_json_that_they_say
        FlagBuilder(key)
        FlagBuilder.on(on)
        FlagBuilder.boolean_flag()
        FlagBuilder.variations(*variations)
        FlagBuilder.fallthrough_variation(variation)
        FlagBuilder.off_variation(variation)
        FlagBuilder.variation_for_all(variation)
        FlagBuilder.value_for_all(value)
        FlagBuilder.variation_for_all_users(variation)
        FlagBuilder.value_for_all_users(value)
        FlagBuilder.variation_for_user(user_key, variation)
        FlagBuilder.variation_for_key(context_kind, context_key, variation)
        FlagBuilder.clear_rules()
        FlagBuilder.clear_targets()
        FlagBuilder._build(version)
        -- test_test_data.test_targets_and_rules_are_evaluated
        FlagBuilder.if_match(attribute, *values)
        FlagBuilder.if_not_match(attribute, *values)
        FlagBuilder.if_match_context(context_kind, attribute, *values)
        FlagBuilder.if_not_match_context(context_kind, attribute, *values)
        FlagRuleBuilder.and_match(attribute, *values)
        FlagRuleBuilder.and_not_match(attribute, *values)
        FlagRuleBuilder.and_match_context(context_kind, attribute, *values)
        FlagRuleBuilder.and_not_match_context(context_kind, attribute, *values)
        FlagRuleBuilder.then_return(variation)
    """,
    "ldclient.integrations.test_datav2": """
        -- test_test_data.test_the_second_generation_is_a_source_of_a_data_system
        TestDataV2.data_source()
        TestDataV2.flag(key)
        TestDataV2.update(flag_builder)
        TestDataV2.{builder, async_builder}
        FlagBuilderV2(key)
        FlagRuleBuilderV2
    """,
    "ldclient.redis_feature_store": """
        -- test_stores.test_the_class_of_old_is_the_same_store
        RedisFeatureStore(url="redis://localhost:6379/0", prefix="launchdarkly", max_connections=16, expiration=15, \
            capacity=1000)
        RedisFeatureStore.get(kind, key, callback)
        RedisFeatureStore.all(kind, callback)
        RedisFeatureStore.init(all_data)
        RedisFeatureStore.upsert(kind, item)
        RedisFeatureStore.delete(kind, key, version)
        RedisFeatureStore.{initialized}
    """,
    "ldclient.file_data_source": """
        -- test_files.test_the_earlier_name_works_and_warns
        FileDataSource.factory(**kwargs)
    """,
    "ldclient.hook": """
        -- test_hooks.test_a_hook_sees_question_and_answer
        Hook.{metadata}
        Hook.before_evaluation(series_context, data)
        Hook.after_evaluation(series_context, data, detail)
        Metadata(name)
        Metadata.[name]
        EvaluationSeriesContext(key, context, default_value, method, environment_id=None)
        EvaluationSeriesContext.[key, context, default_value, method, environment_id]
        -- test_asyncio.test_hooks_may_be_coroutines_and_are_run_in_order_whatever_they_do
        AsyncHook.before_evaluation(series_context, data)
        AsyncHook.after_evaluation(series_context, data, detail)
    """,
    "ldclient.plugin": """
        -- test_plugins.test_plugins_are_told_where_they_are
        Plugin.{metadata}
        Plugin.register(client, metadata)
        Plugin.get_hooks(metadata)
        PluginMetadata(name)
        PluginMetadata.[name]
        EnvironmentMetadata(sdk, sdk_key=None, application=None)
        EnvironmentMetadata.[sdk, sdk_key, application]
        SdkMetadata(name, version, wrapper_name=None, wrapper_version=None)
        SdkMetadata.[name, version, wrapper_name, wrapper_version]
        ApplicationMetadata(id=None, version=None)
        ApplicationMetadata.[id, version]
        -- test_async_parts.test_a_plugin_of_coroutines_is_registered_before_flags_come
        AsyncPlugin.register(client, metadata)
        AsyncPlugin.get_hooks(metadata)
    """,
    "ldclient.migrations": """
        -- test_migrations.test_stages_are_found_by_their_names_and_by_nothing_else
        Stage.OFF = "off"
        Stage.DUALWRITE = "dualwrite"
        Stage.SHADOW = "shadow"
        Stage.LIVE = "live"
        Stage.RAMPDOWN = "rampdown"
        Stage.COMPLETE = "complete"
        Stage.from_str(value)
        ExecutionOrder.SERIAL = "serial"
        ExecutionOrder.RANDOM = "random"
        ExecutionOrder.PARALLEL = "parallel"
        Operation.READ = "read"
        Operation.WRITE = "write"
        Origin.OLD = "old"
        Origin.NEW = "new"
        -- test_migrations.test_results_say_what_came_of_it
        Result.success(value)
        Result.fail(error, exception=None)
        Result.is_success()
        Result.{value, error, exception}
        OperationResult.{origin}
        WriteResult.{authoritative, nonauthoritative}
        -- test_migrations.test_a_migrator_lacks_nothing
        MigratorBuilder(client)
        MigratorBuilder.build()
        -- test_migrations.test_an_order_may_be_given_by_its_name_and_nonsense_is_named
        MigratorBuilder.read_execution_order(order)
        -- test_migrations.test_what_is_measured_can_be_chosen
        MigratorBuilder.track_latency(enabled)
        MigratorBuilder.track_errors(enabled)
        -- test_migrations.test_the_old_and_the_new_answer_are_compared_in_this_order
        MigratorBuilder.read(old, new, comparison=None)
        Migrator.read(key, context, default_stage, payload=None)
        -- test_migrations.test_each_stage_writes_what_it_should_the_believed_one_first
        MigratorBuilder.write(old, new)
        Migrator.write(key, context, default_stage, payload=None)
        -- test_migrations.test_what_a_program_notes_is_reported
        OpTracker.operation(op)
        OpTracker.invoked(origin)
        OpTracker.consistent(is_consistent)
        OpTracker.error(origin)
        OpTracker.latency(origin, duration)
        OpTracker.build()
    """,
    "ldclient.datasystem": """
        -- test_data_system.test_the_default_is_a_poll_and_then_a_stream
        default()
        -- test_data_system.test_a_stream_alone_asks_for_no_poll
        streaming()
        -- test_data_system.test_polls_alone_go_on
        polling()
        -- test_data_system.test_sources_may_ask_other_hosts_each
        custom()
        polling_ds_builder()
        streaming_ds_builder()
        ConfigBuilder.synchronizers(*synchronizers)
        -- test_data_system.test_a_daemon_reads_its_store_alone
        daemon(store)
        -- test_data_system.test_a_store_is_read_until_there_are_fresh_flags_and_then_written
        persistent_store(store)
        -- test_data_system.test_files_are_used_until_flags_come_that_are_up_to_date
        file_ds_builder(paths)
        ConfigBuilder.initializers(initializers)
        -- test_data_system.test_first_generation_delivery_is_used_when_the_service_asks_for_it
        fdv1_fallback_ds_builder()
        ConfigBuilder.fdv1_compatible_synchronizer(_)
        -- test_data_system.test_a_config_says_what_it_was_built_of
        -- test_data_system.test_a_config_says_what_it_was_built_of
        ConfigBuilder.data_store(data_store, store_mode)
        ConfigBuilder.build()
    """,
    "ldclient.async_client": """
        -- test_asyncio.test_everything_a_program_does_in_a_day
        AsyncLDClient(config)
        AsyncLDClient.start(start_wait=5.0)
        AsyncLDClient.close()
        AsyncLDClient.__aenter__()
        AsyncLDClient.__aexit__
        AsyncLDClient.variation(key, context, default)
        AsyncLDClient.variation_detail(key, context, default)
        AsyncLDClient.migration_variation(key, context, default_stage)
        AsyncLDClient.all_flags_state(context)
        AsyncLDClient.is_initialized()
        AsyncLDClient.flush()
        AsyncLDClient.flush_and_wait(timeout)
        AsyncLDClient.track(event_name, context, data=None, metric_value=None)
        AsyncLDClient.identify(context)
        AsyncLDClient.track_migration_op(tracker)
        AsyncLDClient.secure_mode_hash(context)
        AsyncLDClient.is_offline()
        AsyncLDClient.get_sdk_key()
        AsyncLDClient.add_hook(hook)
    """,
    "ldclient.async_config": """
        -- test_asyncio.test_everything_a_program_does_in_a_day
        AsyncConfig(sdk_key)
        -- test_async_parts.test_big_segments_are_asked_for
        AsyncBigSegmentsConfig(store=None)
        -- test_async_parts.test_sources_of_a_data_system_may_be_coroutines
        AsyncDataSystemConfig
    """,
    "ldclient.async_feature_store": """
        -- test_async_parts.test_a_store_in_memory_is_the_clients_memory
        AsyncInMemoryFeatureStore()
        AsyncInMemoryFeatureStore.get(kind, key)
        AsyncInMemoryFeatureStore.all(kind)
        AsyncInMemoryFeatureStore.init(all_data)
        AsyncInMemoryFeatureStore.upsert(kind, item)
        AsyncInMemoryFeatureStore.delete(kind, key, version)
        AsyncInMemoryFeatureStore.is_initialized()
        AsyncInMemoryFeatureStore.{initialized}
    """,
    "ldclient.async_feature_store_helpers": """
        -- test_async_parts.test_a_database_is_cached_for_a_client_and_for_the_program
        AsyncCachingStoreWrapper(core, cache_config)
    """,
    "ldclient.util": """
        -- test_logging.test_lines_go_through_the_methods_named_like_their_level
        log
        -- test_logging.test_uwsgi_without_threads_is_an_error
        check_uwsgi()
        -- test_names.test_small_things_that_programs_import
        UnsuccessfulResponseException(status)
        UnsuccessfulResponseException.{status}
        Event
    """,
    "ldclient.operators": """
        -- test_flag_alone.test_operators_match_as_in_an_evaluation
        ops
    """,
    "ldclient.impl.util": """
        -- test_names.test_what_stands_in_several_places_is_one_thing
        log
    """,
    "ldclient.twisted_client": """
        -- test_twisted.test_every_answer_is_a_deferred_that_fires_on_the_reactors_thread
        TwistedLDClient(sdk_key=None, config=None, start_wait=5)
        TwistedLDClient.variation(key, user, default)
        TwistedLDClient.variation_detail(key, user, default)
        TwistedLDClient.toggle(key, user, default=False)
        TwistedLDClient.all_flags(user=None)
        TwistedLDClient.all_flags_state(user)
        TwistedLDClient.flush()
        TwistedLDClient.track(event_name, user, data=None, metric_value=None)
        TwistedLDClient.identify(user)
        TwistedLDClient.secure_mode_hash(user)
        TwistedLDClient.is_offline()
        TwistedLDClient.is_initialized()
        TwistedLDClient.get_sdk_key()
        TwistedLDClient.set_offline()
        TwistedLDClient.set_online()
        TwistedLDClient.close()
        TwistedConfig
    """,
    "ldclient.twisted": """
        -- test_names.test_what_stands_in_several_places_is_one_thing
        TwistedLDClient
        TwistedConfig
    """,
    "ldclient.twisted_impls": """
        -- test_names.test_what_stands_in_several_places_is_one_thing
        TwistedLDClient
        TwistedConfig
    """,
    "ldclient.twisted_event_consumer": """
        -- test_event_processors.test_the_event_consumer_that_stands_for_the_client_itself_draws_no_warning
        TwistedEventConsumer
    """,
    "ldclient.twisted_redis_feature_store": """
        -- test_twisted.test_flags_that_somebody_else_wrote_to_redis_are_read_through_the_store_of_old
        TwistedRedisFeatureStore
    """,
}

#: What stands in several places, and is one thing.
PLACES = {
    "LDClient": "ldclient ldclient.client",
    "Config": "ldclient ldclient.client ldclient.config",
    "Context": "ldclient ldclient.client ldclient.context",
    "ContextBuilder": "ldclient ldclient.context",
    "ContextMultiBuilder": "ldclient ldclient.context",
    "EvaluationDetail": "ldclient.evaluation ldclient.flag",
    "FeatureFlagsState": "ldclient.evaluation ldclient.flags_state",
    "log": "ldclient ldclient.util ldclient.impl.util",
    "VERSION": "ldclient ldclient.version",
    "NullHandler": "ldclient logging",
    "Result": "ldclient ldclient.migrations",
    "Stage": "ldclient ldclient.migrations",
    "Operation": "ldclient ldclient.migrations",
    "Origin": "ldclient ldclient.migrations",
    "ExecutionOrder": "ldclient ldclient.migrations",
    "OpTracker": "ldclient ldclient.migrations",
    "Migrator": "ldclient ldclient.migrations",
    "MigratorBuilder": "ldclient ldclient.migrations",
    "AsyncLDClient": "ldclient ldclient.async_client",
    "TwistedLDClient": "ldclient ldclient.twisted ldclient.twisted_impls ldclient.twisted_client",
    "TwistedConfig": "ldclient ldclient.twisted ldclient.twisted_impls ldclient.twisted_client",
}
