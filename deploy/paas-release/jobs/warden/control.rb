Paas.component 'warden' do
  def rootfs_path = target + 'rootfs'
  def container_path = Pathname.new(ENV.fetch('HOME')) + 'warden/container'

  def start
    return if running_already?

    [rootfs_path, container_path].each(&:mkpath)
    render 'warden.yml.erb'
    # As root, for the containers.
    inside(package + 'warden') { rake "--trace warden:start[#{config_file}] #{outputs} &", as: 'sudo' }
  end

  def stop
    end_process as: 'sudo'
  end
end
