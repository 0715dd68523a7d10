Paas.component 'nats' do
  def start
    return if running_already?

    render 'nats.yml.erb'
    # In the foreground: the server itself goes into the background (-d).
    inside(package) { bundle_exec "bin/nats-server -d -c #{config_file} #{outputs}" }
  end
end
