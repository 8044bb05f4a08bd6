"""The open-loop replay engine; it knows neither Locust nor gevent."""
